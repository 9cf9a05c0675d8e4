"""Durable receipts: one append blob per host process, read by all, merged when many are left behind.

A host writes only to its own segment `receipts/<instance>-<number>`, in batches, so hosts never contend. Every
host reads what the others appended. `receipts/compacted-<id>` replaces segments nobody writes to any more: it is
written whole first, and what it replaces is deleted after, each only in the version that was read. A crash in
between leaves records twice, which means the same (see receipts.py).
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from contextlib import suppress
from functools import partial

from fnpack_triggers.blob.digests import DigestSet
from fnpack_triggers.blob.faults import ConflictError, NotFoundError, Patience, StorageUnavailable
from fnpack_triggers.blob.listing import ListedBlob
from fnpack_triggers.blob.receipts import HEADER, RECORD_SIZE, Receipts
from fnpack_triggers.blob.state import State

FOLDER = "receipts/"
_COMPACTED = "compacted-"
_MAX_BATCH = 10_000  # records in one append: 170 KB
_MAX_BLOCKS = 49_000  # the service allows 50,000
_READ_BYTES = RECORD_SIZE * 16_384
_COMPACT_FROM = 4  # segments left behind
_PAUSE_S = 1.0

_log = logging.getLogger("fnpack.triggers.blob")


class Segments:
    """The receipts of one function, kept in `state`; `receipts` is what they say."""

    def __init__(
        self, state: State, instance: str, patience: Patience, *, max_blocks: int = _MAX_BLOCKS
    ) -> None:
        self.receipts = Receipts()
        self._state, self._instance, self._patience = state, instance, patience
        self._max_blocks = max_blocks
        self._number, self._position, self._blocks = 0, 0, 0
        self._waiting: list[tuple[bytes, asyncio.Future[None]]] = []
        self._wake = asyncio.Event()
        self._read_to: dict[str, int] = {}
        self._versions: dict[str, str] = {}
        self._reading = asyncio.Lock()
        self._writer: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to write what is appended."""
        self._writer = asyncio.create_task(self._write_forever(), name="fnpack-blob-receipts")

    async def stop(self, timeout_s: float) -> None:
        """Write what is waiting, for at most `timeout_s`."""
        if self._writer is None:
            return
        waiting = [future for _, future in self._waiting]
        if waiting:
            await asyncio.wait(waiting, timeout=timeout_s)
        self._writer.cancel()
        await asyncio.gather(self._writer, return_exceptions=True)
        for _, future in self._waiting:
            future.cancel()
        self._writer = None

    def append(self, record: bytes) -> asyncio.Future[None]:
        """Write `record`; the future is done once it is durable, and then `receipts` knows it."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((record, future))
        self._wake.set()
        return future

    async def read_tails(self) -> None:
        """Read what other hosts appended since the last time."""
        async with self._reading:
            for _ in range(10):
                if await self._read_all():
                    return
            _log.warning("receipts were replaced ten times while being read; reading on at the next pass")

    # --- writing ---

    async def _write_forever(self) -> None:
        while True:
            await self._wake.wait()
            batch = self._waiting[:_MAX_BATCH]
            records = b"".join(record for record, _ in batch)
            try:
                await self._patience.run(partial(self._append, records))
            except Exception:  # without receipts every blob would wait for ever
                _log.exception("receipts could not be written; trying again")
                await asyncio.sleep(_PAUSE_S)
                continue
            self.receipts.apply(records)
            # Only now: until they are durable they stay among the waiting, for `stop`.
            del self._waiting[: len(batch)]
            if not self._waiting:
                self._wake.clear()
            for _, future in batch:
                if not future.done():
                    future.set_result(None)

    async def _append(self, records: bytes) -> None:
        """Append once. May be repeated after any failure: the position tells whether it had worked."""
        for _ in range(3):
            data = records if self._position else HEADER + records
            try:
                if self._position == 0:
                    await self._create()
                await self._state.append(self._own, data, self._position)
            except (ConflictError, NotFoundError):
                if not await self._is_written(data):
                    self._roll()
                    continue
            self._position += len(data)
            self._blocks += 1
            if self._blocks >= self._max_blocks:
                self._roll()
            return
        raise StorageUnavailable("receipts cannot be written: each new segment is refused as in conflict")

    async def _create(self) -> None:
        with suppress(ConflictError):  # an earlier try, whose answer was lost; the position decides
            await self._state.create_log(self._own)

    async def _is_written(self, data: bytes) -> bool:
        try:
            if await self._state.size(self._own) != self._position + len(data):
                return False
            return await self._state.read(self._own, self._position, len(data)) == data
        except (ConflictError, NotFoundError):
            return False

    @property
    def _own(self) -> str:
        return f"{FOLDER}{self._instance}-{self._number:06d}"

    def _roll(self) -> None:
        self._number, self._position, self._blocks = self._number + 1, 0, 0

    # --- reading ---

    async def _read_all(self) -> bool:
        """Read every segment to its listed end; False if one went away meanwhile (its heir must be read)."""
        listed, _ = await self._state.list(FOLDER)
        self._versions = {blob.name: blob.etag for blob in listed}
        self._read_to = {name: end for name, end in self._read_to.items() if name in self._versions}
        grown = [blob for blob in listed if self._is_news(blob)]
        complete = all(await asyncio.gather(*(self._read(blob) for blob in grown)))
        if complete:
            for name in self._versions:
                self._read_to.setdefault(name, 0)  # empty ones
        return complete

    def _is_news(self, blob: ListedBlob) -> bool:
        is_own = blob.name.startswith(f"{self._instance}-")
        return not is_own and blob.size_bytes - self._read_to.get(blob.name, 0) >= RECORD_SIZE

    async def _read(self, blob: ListedBlob) -> bool:
        at = self._read_to.get(blob.name, 0)
        end = blob.size_bytes - blob.size_bytes % RECORD_SIZE
        while at < end:
            try:
                records = await self._state.read(FOLDER + blob.name, at, min(_READ_BYTES, end - at))
            except NotFoundError:
                return False
            if len(records) < RECORD_SIZE:
                return False
            self.receipts.apply(records)
            at += len(records) - len(records) % RECORD_SIZE
            self._read_to[blob.name] = at
            await asyncio.sleep(0)
        return True

    # --- compaction ---

    def left_behind(self, alive: set[str]) -> dict[str, str]:
        """Segments, with their versions, read to the end, that no host of `alive` will append to."""
        return {name: etag for name, etag in self._versions.items() if self._is_left(name, alive)}

    def wants_compaction(self, alive: set[str]) -> bool:
        """Whether enough was left behind to merge."""
        return len(self.left_behind(alive)) >= _COMPACT_FROM

    async def compact(self, replaced: dict[str, str], listed: DigestSet) -> None:
        """Write all receipts of blobs in `listed` as one segment, then delete those of `replaced`.

        `replaced` was taken, and `receipts.watch()` called, before the listing began; `listed` is complete.
        """
        for _ in self.receipts.keep(listed):
            await asyncio.sleep(0)
        data = bytearray(HEADER)
        for number, record in enumerate(self.receipts.records()):
            data += record
            if number % 4096 == 0:
                await asyncio.sleep(0)
        name = f"{_COMPACTED}{uuid.uuid4().hex}"
        await self._state.put(FOLDER + name, bytes(data), overwrite=False)
        self._read_to[name] = len(data)
        for old, etag in replaced.items():
            with suppress(ConflictError, NotFoundError):  # it has grown meanwhile, or another host was faster
                await self._state.delete(FOLDER + old, etag)

    def _is_left(self, name: str, alive: set[str]) -> bool:
        instance, _, number = name.rpartition("-")
        if instance == self._instance:
            return int(number) < self._number
        return instance not in alive and name in self._read_to
