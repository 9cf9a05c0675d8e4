"""The blobs in which hosts keep what they share: the few operations needed, for Azure and in memory."""

from __future__ import annotations

import uuid
from typing import Protocol

from azure.core import MatchConditions

from fnpack_triggers.blob.account import BlobLeaseClient, BlobServiceClient
from fnpack_triggers.blob.faults import ConflictError, NotFoundError, translated
from fnpack_triggers.blob.listing import ListedBlob, Page, list_page

STATE_CONTAINER = "azure-webjobs-hosts"


class State(Protocol):
    """A folder of blobs. Every call may raise StorageUnavailable or StorageRefused."""

    async def open(self) -> None:
        """Make sure that the folder can be used."""

    async def list(self, folder: str) -> tuple[list[ListedBlob], float]:
        """The blobs below `folder`, by name within it, and the service's clock (Unix seconds)."""

    async def read(self, name: str, offset: int, size: int) -> bytes:
        """`size` bytes from `offset`. Raises NotFoundError."""

    async def size(self, name: str) -> int:
        """The length of a blob in bytes. Raises NotFoundError."""

    async def create_log(self, name: str) -> None:
        """Create an empty append blob. Raises ConflictError if the name is taken."""

    async def append(self, name: str, data: bytes, position: int) -> None:
        """Append at `position`; ConflictError if that is not the end or the blob is full, NotFoundError."""

    async def put(self, name: str, data: bytes, *, overwrite: bool = True) -> None:
        """Write a whole blob at once. Raises ConflictError without `overwrite` if the name is taken."""

    async def delete(self, name: str, etag: str = "") -> None:
        """Delete a blob, with `etag` only that version of it. Raises ConflictError, NotFoundError."""

    async def acquire(self, name: str, duration_s: int, lease: str = "") -> str:
        """Lease a blob, under the id `lease` if that is given; returns the id. Taking the same lease twice works.

        Raises ConflictError if it is leased under another id, NotFoundError.
        """

    async def renew(self, name: str, lease: str) -> None:
        """Renew a lease. Raises ConflictError when it is another's by now, NotFoundError."""

    async def release(self, name: str, lease: str) -> None:
        """Release a lease. Raises ConflictError, NotFoundError."""


class AzureState:
    """State below one prefix of the container `azure-webjobs-hosts`."""

    def __init__(self, service: BlobServiceClient, prefix: str) -> None:
        self._container = service.get_container_client(STATE_CONTAINER)
        self._account = service.account_name or ""
        self._prefix = prefix

    async def open(self) -> None:
        """Create the container if it is missing."""
        try:
            with translated("create the state container", self._account):
                await self._container.create_container()
        except ConflictError:
            pass  # it is there

    async def list(self, folder: str) -> tuple[list[ListedBlob], float]:
        """See `State.list`."""
        prefix = f"{self._prefix}{folder}"
        found: list[ListedBlob] = []
        marker = ""
        while True:
            page = await self._page(prefix, marker)
            found += [_within(blob, len(prefix)) for blob in page.blobs()]
            marker = page.next_marker
            if not marker:
                return found, page.now.timestamp()

    async def read(self, name: str, offset: int, size: int) -> bytes:
        """See `State.read`."""
        with translated("read a receipt", self._account):
            stream = await self._container.download_blob(self._prefix + name, offset=offset, length=size)
            return await stream.readall()

    async def size(self, name: str) -> int:
        """See `State.size`."""
        with translated("read a receipt", self._account):
            return (await self._container.get_blob_client(self._prefix + name).get_blob_properties()).size

    async def create_log(self, name: str) -> None:
        """See `State.create_log`."""
        blob = self._container.get_blob_client(self._prefix + name)
        try:
            with translated("create a receipt", self._account):
                await blob.create_append_blob(match_condition=MatchConditions.IfMissing)
        except NotFoundError:
            await self.open()
            with translated("create a receipt", self._account):
                await blob.create_append_blob(match_condition=MatchConditions.IfMissing)

    async def append(self, name: str, data: bytes, position: int) -> None:
        """See `State.append`."""
        with translated("write a receipt", self._account):
            await self._container.get_blob_client(self._prefix + name).append_block(
                data, length=len(data), appendpos_condition=position
            )

    async def put(self, name: str, data: bytes, *, overwrite: bool = True) -> None:
        """See `State.put`."""
        blob = self._container.get_blob_client(self._prefix + name)
        try:
            with translated("write its state", self._account):
                await blob.upload_blob(data, overwrite=overwrite)
        except NotFoundError:
            await self.open()
            with translated("write its state", self._account):
                await blob.upload_blob(data, overwrite=overwrite)

    async def delete(self, name: str, etag: str = "") -> None:
        """See `State.delete`."""
        blob = self._container.get_blob_client(self._prefix + name)
        with translated("delete its state", self._account):
            if etag:
                await blob.delete_blob(etag=f'"{etag}"', match_condition=MatchConditions.IfNotModified)
            else:
                await blob.delete_blob()

    async def acquire(self, name: str, duration_s: int, lease: str = "") -> str:
        """See `State.acquire`."""
        taken = self._lease(name, lease or str(uuid.uuid4()))
        with translated("take a lease", self._account):
            await taken.acquire(lease_duration=duration_s)
        return taken.id

    async def renew(self, name: str, lease: str) -> None:
        """See `State.renew`."""
        with translated("renew a lease", self._account):
            await self._lease(name, lease).renew()

    async def release(self, name: str, lease: str) -> None:
        """See `State.release`."""
        with translated("release a lease", self._account):
            await self._lease(name, lease).release()

    def _lease(self, name: str, lease: str) -> BlobLeaseClient:
        return BlobLeaseClient(self._container.get_blob_client(self._prefix + name), lease_id=lease)

    async def _page(self, prefix: str, marker: str) -> Page:
        """See `State._page`."""
        try:
            return await list_page(self._container, prefix, marker)
        except NotFoundError:
            await self.open()  # someone deleted it, or storage came back empty
            return await list_page(self._container, prefix, marker)


def _within(blob: ListedBlob, skip: int) -> ListedBlob:
    return ListedBlob(
        blob.name[skip:], blob.etag, blob.size_bytes, blob.blob_type, blob.last_modified, blob.is_leased
    )
