"""Shared state in memory: several listeners of one process can share it, and tests can make it fail."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass, field
from datetime import datetime, timezone

from fnpack_triggers.blob.faults import ConflictError, NotFoundError
from fnpack_triggers.blob.listing import ListedBlob


@dataclass(slots=True)
class _Blob:
    data: bytes = b""
    etag: str = ""
    modified: float = 0.0
    lease: str = ""
    lease_end: float = 0.0
    blocks: int = 0


@dataclass(slots=True)
class MemoryState:
    """Follows the `State` protocol. `clock` gives Unix seconds, for leases and times of change."""

    block_limit: int = 50_000
    clock_ahead_s: float = 0.0
    blobs: dict[str, _Blob] = field(default_factory=dict)

    def clock(self) -> float:
        """Now, in Unix seconds."""
        return time.time() + self.clock_ahead_s

    async def open(self) -> None:
        """Nothing to do."""

    async def list(self, folder: str) -> tuple[list[ListedBlob], float]:
        """See `State.list`."""
        now = self.clock()
        return [
            ListedBlob(
                name[len(folder) :],
                blob.etag,
                len(blob.data),
                "AppendBlob",
                datetime.fromtimestamp(blob.modified, timezone.utc),
                blob.lease_end > now,
            )
            for name, blob in sorted(self.blobs.items())
            if name.startswith(folder)
        ], now

    async def read(self, name: str, offset: int, size: int) -> bytes:
        """See `State.read`."""
        return self._find(name).data[offset : offset + size]

    async def size(self, name: str) -> int:
        """See `State.size`."""
        return len(self._find(name).data)

    async def create_log(self, name: str) -> None:
        """See `State.create_log`."""
        if name in self.blobs:
            raise ConflictError(name)
        self._write(name, _Blob())

    async def append(self, name: str, data: bytes, position: int) -> None:
        """See `State.append`."""
        blob = self._find(name)
        if len(blob.data) != position or blob.blocks >= self.block_limit:
            raise ConflictError(name)
        blob.data += data
        blob.blocks += 1
        self._write(name, blob)

    async def put(self, name: str, data: bytes, *, overwrite: bool = True) -> None:
        """See `State.put`."""
        if name in self.blobs and not overwrite:
            raise ConflictError(name)
        self._write(name, _Blob(data))

    async def delete(self, name: str, etag: str = "") -> None:
        """See `State.delete`."""
        if etag and self._find(name).etag != etag:
            raise ConflictError(name)
        if self.blobs.pop(name, None) is None:
            raise NotFoundError(name)

    async def acquire(self, name: str, duration_s: int, lease: str = "") -> str:
        """See `State.acquire`."""
        blob = self._find(name)
        if blob.lease_end > self.clock() and blob.lease != lease:
            raise ConflictError(name)
        blob.lease, blob.lease_end = lease or uuid.uuid4().hex, self.clock() + duration_s
        return blob.lease

    async def renew(self, name: str, lease: str) -> None:
        """See `State.renew`."""
        blob = self._find(name)
        if blob.lease != lease:
            raise ConflictError(name)
        blob.lease_end = self.clock() + 30

    async def release(self, name: str, lease: str) -> None:
        """See `State.release`."""
        blob = self._find(name)
        if blob.lease != lease:
            raise ConflictError(name)
        blob.lease_end = 0.0

    def _find(self, name: str) -> _Blob:
        try:
            return self.blobs[name]
        except KeyError:
            raise NotFoundError(name) from None

    def _write(self, name: str, blob: _Blob) -> None:
        blob.etag, blob.modified = uuid.uuid4().hex, self.clock()
        self.blobs[name] = blob
