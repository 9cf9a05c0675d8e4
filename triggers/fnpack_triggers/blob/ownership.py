"""Which host runs which blobs: sixteen partitions of the blob names, each under a lease.

Hosts know each other only through storage. Each announces itself by touching `hosts/<instance>`; each takes
free partitions up to its fair share and gives back what exceeds it, once the blobs in flight there are settled.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TypeVar

from fnpack_triggers.blob.faults import (
    ConflictError,
    NotFoundError,
    Patience,
    StorageRefused,
    StorageUnavailable,
)
from fnpack_triggers.blob.state import State

PARTITIONS = 16
_TRUSTED = 2 / 3  # of a lease: not renewed for so long, it is not relied on
_FORGOTTEN_S = 600  # an announcement this old is swept
_TICK_S = 3.0

_T = TypeVar("_T")
_log = logging.getLogger("fnpack.triggers.blob")


def partition_of(blob_name: str) -> int:
    """The partition of a blob. The same for every host and every version: changing it breaks exclusion."""
    return blake2b(blob_name.encode(), digest_size=1).digest()[0] % PARTITIONS


@dataclass(slots=True)
class _Held:
    renewed_at: float
    is_ready: bool = False  # receipts were read after the lease was taken
    is_leaving: bool = False


@dataclass(slots=True)
class Ownership:
    """The partitions this host holds. `read_receipts` runs after a lease is taken and before it is used."""

    state: State
    instance: str
    patience: Patience
    read_receipts: Callable[[], Awaitable[None]]
    lease_s: int = 30
    alive: set[str] = field(default_factory=set)
    # One id for all our leases: taking one again whose first answer was lost works, instead of waiting for its end.
    _lease: str = field(default_factory=lambda: str(uuid.uuid4()))
    _asked: set[int] = field(default_factory=set)  # taken perhaps: the answer is out
    _held: dict[int, _Held] = field(default_factory=dict)
    _busy: Counter[int] = field(default_factory=Counter)
    _touched_at: float = float("-inf")
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    async def start(self) -> None:
        """Announce this host and take its share. Raises StorageUnavailable or StorageRefused."""
        await self.tick()
        self._tasks = [
            asyncio.create_task(self._repeat(self.tick, _TICK_S), name="fnpack-blob-ownership"),
            # Beside it, so that a tick that waits for something does not cost the leases.
            asyncio.create_task(self._repeat(self._renew, _TICK_S / 3), name="fnpack-blob-leases"),
        ]

    async def stop(self) -> None:
        """Give everything back."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        await asyncio.gather(
            *(self._release(number) for number in {*self._held, *self._asked}), return_exceptions=True
        )
        await self._tolerant(self.state.delete(self._announcement))

    def owns(self, partition: int) -> bool:
        """Whether blobs of `partition` may be started here now."""
        held = self._held.get(partition)
        return (
            held is not None
            and held.is_ready
            and not held.is_leaving
            and time.monotonic() - held.renewed_at < self.lease_s * _TRUSTED
        )

    @property
    def partitions(self) -> list[int]:
        """What this host runs."""
        return [number for number in self._held if self.owns(number)]

    def enter(self, partition: int) -> None:
        """A blob of `partition` is in flight."""
        self._busy[partition] += 1

    def leave(self, partition: int) -> None:
        """A blob of `partition` is settled or given back."""
        self._busy[partition] -= 1

    async def tick(self) -> bool:
        """One look around: announce, renew, count the hosts, give back, take. True: storage answered."""
        if time.monotonic() - self._touched_at >= self._renew_every_s:
            await self._soon(self.state.put(self._announcement, b""))
            self._touched_at = time.monotonic()
        await self._renew()
        await self._meet()
        share = -(-PARTITIONS // len(self.alive))
        await self._give_back(share)
        missing = share - sum(not held.is_leaving for held in self._held.values())
        if missing > 0:
            await self._take(missing)
        if any(not held.is_ready for held in self._held.values()):
            fresh = [held for held in self._held.values() if not held.is_ready]
            await self.read_receipts()
            for held in fresh:
                held.is_ready = True
        return True

    async def _repeat(self, work: Callable[[], Awaitable[bool]], every_s: float) -> None:
        pause_s = every_s
        while True:
            await asyncio.sleep(pause_s * random.uniform(0.9, 1.1))  # noqa: S311 - jitter
            pause_s = every_s / 3  # after a failure: leases must be renewed soon
            try:
                if await work():
                    self.patience.recovered()
                pause_s = every_s
            except (StorageUnavailable, StorageRefused) as exc:
                self.patience.lost(exc)
            except Exception:
                _log.exception("the blob trigger could not look after its partitions; trying again")

    async def _renew(self) -> bool:
        """Renew what is due; whether anything was."""
        due = [
            n for n, held in self._held.items() if time.monotonic() - held.renewed_at >= self._renew_every_s
        ]
        await asyncio.gather(*(self._renew_one(number, self._held[number]) for number in due))
        return bool(due)

    async def _renew_one(self, number: int, held: _Held) -> None:
        asked_at = time.monotonic()
        try:
            await self._soon(self.state.renew(_name(number), self._lease))
        except (ConflictError, NotFoundError):
            if self._held.get(number) is held:
                _log.warning(
                    "partition %d went to another host; its blobs in flight here may run twice", number
                )
                del self._held[number]
        else:
            held.renewed_at = asked_at

    async def _meet(self) -> None:
        listed, now = await self._soon(self.state.list("hosts/"))
        ages = {host.name: now - host.last_modified.timestamp() for host in listed}
        self.alive = {name for name, age in ages.items() if age < self.lease_s} | {self.instance}
        for name, age in ages.items():
            if age > _FORGOTTEN_S:
                await self._tolerant(self.state.delete(f"hosts/{name}"))

    async def _give_back(self, share: int) -> None:
        by_leaving = sorted(self._held.values(), key=lambda held: held.is_leaving)
        for rank, held in enumerate(by_leaving):
            held.is_leaving = rank >= share  # also takes back what is leaving, when a host went away
        idle = [number for number, held in self._held.items() if held.is_leaving and not self._busy[number]]
        await asyncio.gather(*(self._release(number) for number in idle))

    async def _take(self, count: int) -> None:
        listed, _ = await self._soon(self.state.list("partitions/"))
        known = {blob.name for blob in listed}
        leased = {blob.name for blob in listed if blob.is_leased}
        free = [n for n in range(PARTITIONS) if n not in {*self._held, *self._asked} and str(n) not in leased]
        random.shuffle(free)
        free = [*self._asked, *free]
        await asyncio.gather(*(self._take_one(n, is_new=str(n) not in known) for n in free[:count]))

    async def _take_one(self, number: int, *, is_new: bool) -> None:
        asked_at = time.monotonic()
        try:
            if is_new:
                await self._tolerant(self.state.put(_name(number), b"", overwrite=False))
            self._asked.add(number)
            await self._soon(self.state.acquire(_name(number), self.lease_s, self._lease))
        except (ConflictError, NotFoundError):
            self._asked.discard(number)
            return  # another host was faster
        self._asked.discard(number)
        self._held[number] = _Held(asked_at)

    async def _release(self, number: int) -> None:
        self._held.pop(number, None)
        await self._tolerant(self.state.release(_name(number), self._lease))

    async def _tolerant(self, call: Awaitable[None]) -> None:
        with suppress(ConflictError, NotFoundError):  # done already, by us or by another
            await self._soon(call)

    async def _soon(self, call: Awaitable[_T]) -> _T:
        """The result of `call`, which must come well within a lease: a connection may hang that a new one does not."""
        try:
            return await asyncio.wait_for(call, self.lease_s / 5)
        except asyncio.TimeoutError as exc:
            raise StorageUnavailable(
                f"storage account `{self.patience.account}` does not answer (keep leases)"
            ) from exc

    @property
    def _renew_every_s(self) -> float:
        return self.lease_s / 3

    @property
    def _announcement(self) -> str:
        return f"hosts/{self.instance}"


def _name(number: int) -> str:
    return f"partitions/{number}"
