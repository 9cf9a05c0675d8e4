"""Reads one page of a blob listing cheaply: the one place that knows how a listing looks on the wire.

The SDK builds an object of thirty properties for every blob (0.2 to 0.4 ms each). A trigger that never skips
lists everything at every pass and needs a name and an ETag, so the page is taken as text, before the SDK
decodes it, and scanned.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from html import unescape
from typing import TYPE_CHECKING
from urllib.parse import unquote

from fnpack_triggers.blob.faults import translated

if TYPE_CHECKING:
    from azure.core.pipeline import PipelineResponse
    from azure.storage.blob.aio import ContainerClient

PAGE_SIZE = 5000
_LONG_AGO = datetime.min.replace(tzinfo=timezone.utc)

# The order in which the service writes them; any other order falls back to reading field by field.
_KEYS = re.compile(
    r"<Blob><Name>([^<]*)</Name>.*?<Etag>([^<]*)</Etag>.*?<BlobType>([^<]*)</BlobType>", re.DOTALL
)
_BLOB = re.compile(r"<Blob>(.*?)</Blob>", re.DOTALL)
_FIELDS = re.compile(
    r"<Name( Encoded=\"true\")?>([^<]*)</Name>"
    r"|<(Etag|Last-Modified|Content-Length|BlobType|LeaseState)>([^<]*)</"
)
_NEXT = re.compile(r"<NextMarker>([^<]*)</NextMarker>")


@dataclass(frozen=True, slots=True)
class ListedBlob:
    """A blob as listed. `etag` is without quotes."""

    name: str
    etag: str
    size_bytes: int = 0
    blob_type: str = "BlockBlob"
    last_modified: datetime = _LONG_AGO
    is_leased: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """One answer of the service: its text, where to go on (empty at the end), and the service's clock."""

    text: str
    next_marker: str
    now: datetime

    def keys(self) -> Iterator[tuple[str, str, str]]:
        """Name, ETag and blob type of each blob: what a pass over a large container needs, and no more."""
        found = _KEYS.findall(self.text)
        if len(found) != self.text.count("<Blob>"):
            found = [(name, etag, kind) for name, etag, _, kind, _, _ in _rows(self.text)]
        elif "&" in self.text:
            found = [(unescape(name), unescape(etag), kind) for name, etag, kind in found]
        for name, etag, kind in found:
            yield name, etag.strip('"'), kind

    def blobs(self) -> Iterator[ListedBlob]:
        """Each blob with all that is kept of it."""
        for name, etag, size, blob_type, modified, lease in _rows(self.text):
            yield ListedBlob(
                name, etag, int(size or 0), blob_type, parsedate_to_datetime(modified), lease == "leased"
            )


class _PageRead(Exception):  # noqa: N818 - it carries an answer
    """Leaves the SDK's pipeline with the answer. Only raised and caught here."""

    def __init__(self, body: bytes, date: str | None) -> None:
        super().__init__()
        self.body, self.date = body, date


async def list_page(
    container: ContainerClient, prefix: str, marker: str = "", *, page_size: int = PAGE_SIZE
) -> Page:
    """The blobs below `prefix` from `marker` on, at most `page_size`.

    Raises NotFoundError when there is no such container, StorageUnavailable, StorageRefused.
    """
    names = container.list_blob_names(
        name_starts_with=prefix or None, results_per_page=page_size, raw_response_hook=_take
    )
    with translated("list blobs", container.account_name or ""):
        try:
            await names.by_page(marker or None).__anext__()
        except _PageRead as page:
            return _page(page.body.decode(), page.date)
        except StopAsyncIteration:
            pass
    raise AssertionError("the Azure library no longer calls raw_response_hook for a listing")


def _take(response: PipelineResponse[object, object]) -> None:
    # The hook runs before the SDK decodes the body. An exception that is not an AzureError passes through its
    # retry policy untouched, which saves decoding megabytes of XML that nobody reads.
    http = response.http_response
    if http.status_code == 200:  # type: ignore[attr-defined]
        raise _PageRead(http.body(), http.headers.get("Date"))  # type: ignore[attr-defined]


def _page(text: str, date: str | None) -> Page:
    found = _NEXT.search(text, max(0, len(text) - 5000))
    now = parsedate_to_datetime(date) if date else datetime.now(timezone.utc)
    return Page(text, unescape(found.group(1)) if found else "", now)


_Row = tuple[str, str, str, str, str, str]


def _rows(text: str) -> Iterator[_Row]:
    """Name, ETag, size, type, time, lease state per blob."""
    for blob in _BLOB.finditer(text):
        name = etag = size = blob_type = modified = lease = ""
        for encoded, name_text, key, value in _FIELDS.findall(blob.group(1)):
            match key:
                case "":
                    name = unescape(name_text) if "&" in name_text else name_text
                    name = unquote(name) if encoded else name
                case "Etag":
                    etag = unescape(value).strip('"')
                case "Content-Length":
                    size = value
                case "BlobType":
                    blob_type = value
                case "Last-Modified":
                    modified = value
                case _:
                    lease = value
        yield name, etag, size, blob_type, modified, lease
