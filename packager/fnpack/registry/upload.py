"""Sending one blob: mounted from another repository, whole, or in chunks that go on where a connection broke off."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from typing import BinaryIO, Literal
from urllib.parse import quote

from fnpack.oci.content import Content
from fnpack.registry.addresses import Address
from fnpack.registry.backoff import Backoff, Cancelled
from fnpack.registry.blobs import Place, has_blob
from fnpack.registry.client import path_of
from fnpack.registry.errors import (
    DigestMismatch,
    ImageNotFound,
    RegistryDenied,
    RegistryError,
    RegistryUnauthorised,
    TooLarge,
)
from fnpack.registry.transport import Body, Response

_REFUSED = frozenset({400, 405, 411, 413, 415, 416, 501})  # to a chunk, by registries that want blobs whole
_RANGE = r"(?:bytes=)?0-(\d+)"


class _ChunksRefused(Exception):  # noqa: N818 - says what happened
    """The registry does not take chunks, or not of this size; the text is its error's."""


class Upload:
    """One blob on its way.

    `at` is told how far it is, in bytes from its start; `sent_bytes` counts all that went out, repeats included.
    """

    def __init__(
        self, place: Place, content: Content, at: Callable[[int], None], stopped: threading.Event
    ) -> None:
        self._place, self._content, self._at, self._stopped = place, content, at, stopped
        self._settings = place.registries.settings
        self._size = content.descriptor.size_bytes
        self._digest = content.descriptor.digest
        self._source = _Source(content)
        self._backoff = Backoff(self._settings, stopped)
        self._chunk_range = (0, 0)  # what the registry asks for: at least, at most (0: no limit)
        self._resumed = False
        self.sent_bytes = 0

    def run(self, mount_from: str | None = None) -> Literal["mounted", "present", "pushed"]:
        """Bring the blob there, from the repository `mount_from` of the same registry if it can be mounted.

        Raises TooLarge, DigestMismatch, ContentChanged and the registry's other errors.
        """
        location = None
        if mount_from is not None:
            location = self._mount(mount_from)
            if location is None:
                return "mounted"
            if self._is_there():
                return "present"
        try:
            self._push(location or self._begin())
        finally:
            self._source.close()
        return "pushed"

    def _push(self, location: Address) -> None:
        """Try the ways to send it, and each again from the start where going on is not possible."""
        ways, begun, restarts = self._ways(), True, 0
        while True:
            try:
                location = location if begun else self._begin()
                begun = False
                self._in_chunks(location, ways[0]) if ways[0] else self._whole(location)
                return
            except (_ChunksRefused, TooLarge) as exc:  # noqa: PERF203 - as often as one is
                if isinstance(exc, _ChunksRefused):
                    self._place.registry.refuses_chunks = True
                if len(ways) == 1:
                    raise self._too_large(ways[0]) from exc
                ways = ways[1:]
            except RegistryError as exc:
                if isinstance(exc, DigestMismatch) and exc.status is not None and self._resumed:
                    self._resumed, exc.may_pass = (
                        False,
                        True,
                    )  # bytes of the broken connection may have come late
                restarts += 1
                exc.may_pass = exc.may_pass and restarts < self._settings.attempts
                self._backoff.pause(exc)
                if self._is_there():
                    return

    def _mount(self, source: str) -> Address | None:
        """Mount the blob: None then. Else where to push it, since that is what most registries begin instead."""
        try:
            response = self._post(f"?mount={quote(self._digest)}&from={quote(source, safe='')}", (201, 202))
        except RegistryError as exc:
            # some registries know no mounts, and a token server may know no right to read the source
            refused = exc.status is not None and 400 <= exc.status < 500 and not exc.may_pass
            if not refused and not isinstance(exc, RegistryUnauthorised | RegistryDenied):
                raise
            return self._begin()
        return None if response.status == 201 else self._location(response)

    def _begin(self) -> Address:
        return self._location(self._post("", (202,)))

    def _post(self, query: str, expect: tuple[int, ...]) -> Response:
        target = path_of(self._place.repository, "blobs", "uploads") + "/" + query
        response = self._request("POST", target, expect=expect, once=False)
        response.text()
        least, most = (_number(response.header(f"OCI-Chunk-{end}-Length")) for end in ("Min", "Max"))
        self._chunk_range = (least, most)
        return response

    def _ways(self) -> list[int]:
        """Ways to send it, best first, each as the size of its chunks; 0 is the whole blob in one request."""
        least, most = self._chunk_range

        def fitting(size: int) -> int:
            return min(max(size, least), most or max(size, least))

        small = fitting(self._settings.small_chunk_bytes)
        large = self._size > self._settings.chunk_threshold_bytes or (most and self._size > most)
        if large and not self._place.registry.refuses_chunks:
            return [fitting(self._settings.chunk_bytes), 0, small]
        return [0, small]

    def _whole(self, location: Address) -> None:
        self._at(0)
        self._commit(location, self._body(0, self._size))

    def _in_chunks(self, location: Address, chunk_bytes: int) -> None:
        offset = 0
        while True:
            self._at(offset)
            count = min(chunk_bytes, self._size - offset)
            try:
                if not count:
                    self._commit(location, b"")
                    return
                response = self._request(
                    "PATCH",
                    location,
                    expect=(202, 204),
                    headers={"Content-Range": f"{offset}-{offset + count - 1}"},
                    body=self._body(offset, count),
                )
                response.text()
                location = self._location(response, location)
                reached = _reached(response)
                reached = offset + count if reached is None else reached
            except RegistryError as exc:
                if isinstance(exc, ImageNotFound):  # the registry has lost the upload
                    exc.may_pass = True
                    raise
                if exc.status in _REFUSED and count:
                    reached = self._after_refusal(exc, location, offset)
                else:
                    self._backoff.pause(exc)
                    if not count and self._is_there():
                        return
                    location, reached = self._where(location)
                    self._resumed = True
            if reached > offset:
                self._backoff.progressed()
            offset = min(reached, self._size)

    def _after_refusal(self, error: RegistryError, location: Address, offset: int) -> int:
        """Where to go on after a refused chunk: elsewhere if the registry has another count of bytes than we."""
        if error.status == 416:
            try:
                _, reached = self._where(location)
            except RegistryError:
                reached = offset
            if reached != offset:
                error.may_pass = True
                self._backoff.pause(error)
                return reached
        raise _ChunksRefused(str(error)) from error

    def _where(self, location: Address) -> tuple[Address, int]:
        """Ask where the upload is now. Raises an error that may pass if the registry has lost it."""
        try:
            response = self._request("GET", location, expect=(200, 202, 204), once=False)
        except ImageNotFound as exc:
            exc.may_pass = True
            raise
        response.text()
        return self._location(response, location), _reached(response) or 0

    def _commit(self, location: Address, body: Body | bytes) -> None:
        address = location.with_query(f"digest={quote(self._digest)}")
        self._request("PUT", address, expect=(201, 202, 204), body=body).text()

    def _request(
        self,
        method: str,
        target: str | Address,
        *,
        expect: tuple[int, ...],
        headers: dict[str, str] | None = None,
        body: Body | bytes | None = None,
        once: bool = True,
    ) -> Response:
        binary = {"Content-Type": "application/octet-stream"} if body is not None else {}
        return self._place.registry.request(
            method,
            target,
            repository=self._place.repository,
            scopes=self._place.scopes,
            expect=expect,
            headers={**binary, **(headers or {})},
            body=body,
            timeout_s=self._settings.commit_timeout_s,
            action="a push to",
            once=once,
        )

    def _body(self, offset: int, count: int) -> Body:
        position = offset

        def open_at() -> _Source:
            nonlocal position
            position = offset
            return self._source.at(offset)

        def sent(bytes_sent: int) -> None:
            nonlocal position
            position += bytes_sent
            self.sent_bytes += bytes_sent
            self._at(position)
            if self._stopped.is_set():
                raise Cancelled

        return Body(count, open_at, sent)

    def _is_there(self) -> bool:
        return has_blob(self._place.registry, self._place.repository, self._digest, self._place.scopes)

    def _location(self, response: Response, otherwise: Address | None = None) -> Address:
        text = response.header("Location")
        if text is None and otherwise is not None:
            return otherwise
        if not text:
            raise RegistryError(
                f"`{self._place.registry.name}` began an upload and did not say where",
                registry=self._place.registry.name,
                repository=self._place.repository,
            )
        return response.address.join(text)

    def _too_large(self, chunk_bytes: int) -> TooLarge:
        return TooLarge(
            f"`{self._place.registry.name}` takes a blob of {self._size} bytes neither whole nor in chunks of "
            f"{chunk_bytes} bytes",
            registry=self._place.registry.name,
            repository=self._place.repository,
            hint="The registry, or a proxy before it, limits the size of requests (nginx: client_max_body_size).",
        )


class _Source:
    """A content's stream, kept open from chunk to chunk; opened anew where another offset is wanted."""

    def __init__(self, content: Content) -> None:
        self._content = content
        self._stream: BinaryIO | None = None
        self._position = 0

    def at(self, offset: int) -> _Source:
        if self._stream is None or self._position != offset:
            self.close()
            self._stream = self._content.open(offset)
            self._position = offset
        return self

    def readinto(self, buffer: memoryview) -> int:
        assert self._stream is not None
        into = getattr(self._stream, "readinto", None)
        if into is not None:
            count = int(into(buffer) or 0)
        else:
            data = self._stream.read(len(buffer))
            count = len(data)
            buffer[:count] = data
        self._position += count
        return count

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None


def _reached(response: Response) -> int | None:
    """How many bytes the registry has, by its Range header; None if that says nothing.

    `0-0` is what registries say of an upload that has none.
    """
    found = re.fullmatch(_RANGE, (response.header("Range") or "").strip())
    if found is None:
        return None
    last = int(found[1])
    return last + 1 if last else 0


def _number(text: str | None) -> int:
    return int(text) if text and text.isdecimal() else 0
