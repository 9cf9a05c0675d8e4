"""Blobs for a person: drop one, list them, look at one. It blocks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fnpack.messages.errors import PlaceError
from fnpack.messages.place import Place
from fnpack_triggers.blob.account import ContentSettings, blocking_blobs
from fnpack_triggers.blob.faults import ConflictError, NotFoundError, StorageRefused, translated
from fnpack_triggers.connections import StorageConnection

if TYPE_CHECKING:
    from azure.storage.blob import BlobServiceClient


@dataclass(frozen=True, slots=True)
class BlobFacts:
    """A blob in a list. `modified` is ISO 8601."""

    name: str
    size_bytes: int
    modified: str


class Blobs:
    """A storage account's blobs. Every call may raise StorageUnavailable or StorageRefused."""

    def __init__(self, connection: StorageConnection) -> None:
        self._connection = connection

    def write(self, place: Place, body: bytes, content_type: str | None = None) -> None:
        """Write a blob, over one that is there."""
        if not place.rest:
            raise PlaceError(f"`{place}` names no blob", hint=f"write {place}/NAME")
        settings = ContentSettings(content_type=content_type) if content_type else None
        with self._service(f"write `{place}`", place) as service:
            blob = service.get_blob_client(place.name, place.rest)
            blob.upload_blob(body, overwrite=True, content_settings=settings)

    def read(self, place: Place) -> bytes | None:
        """A blob's content, or None where there is no blob of that name."""
        if not place.rest:
            return None
        try:
            with (
                translated(f"read `{place}`", self._connection.account),
                blocking_blobs(self._connection) as service,
            ):
                return service.get_blob_client(place.name, place.rest).download_blob().readall()
        except NotFoundError as error:
            if error.code == "ContainerNotFound":
                raise self._no_container(place) from error
            return None

    def version(self, place: Place) -> str | None:
        """The etag of a blob, or None where there is no blob of that name."""
        try:
            with (
                translated(f"read `{place.name}/{place.rest}`", self._connection.account),
                blocking_blobs(self._connection) as service,
            ):
                return str(service.get_blob_client(place.name, place.rest).get_blob_properties().etag)
        except NotFoundError:
            return None

    def list(self, place: Place, count: int) -> list[BlobFacts]:
        """Up to `count` blobs whose names begin with the place's, by name."""
        found: list[BlobFacts] = []
        with self._service(f"list `{place}`", place) as service:
            container = service.get_container_client(place.name)
            for one in container.list_blobs(name_starts_with=place.rest or None):
                found.append(BlobFacts(one.name, one.size, one.last_modified.isoformat()))
                if len(found) == count:
                    break
        return found

    @contextmanager
    def _service(self, operation: str, place: Place) -> Iterator[BlobServiceClient]:
        try:
            with (
                translated(operation, self._connection.account),
                blocking_blobs(self._connection) as service,
            ):
                yield service
        except NotFoundError as error:
            raise self._no_container(place) from error
        except ConflictError as error:
            raise StorageRefused(
                f"`{place}` cannot be written: it is leased, or being deleted",
                hint="choose another name, or try again in a while",
            ) from error

    def _no_container(self, place: Place) -> StorageRefused:
        return StorageRefused(
            f"storage account `{self._connection.account}` has no container `{place.name}`",
            hint="check its name; `fnpack dev` creates what the bindings of its app name",
        )
