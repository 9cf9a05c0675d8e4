"""One holder at a time across hosts: a lease on a lock blob, taken, renewed and let go."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

from fnpack_triggers.blob.faults import (
    ConflictError,
    NotFoundError,
    Patience,
    StorageRefused,
    StorageUnavailable,
)
from fnpack_triggers.blob.state import State

_log = logging.getLogger("fnpack.triggers.timer")
_TRUSTED_PART = 0.8  # of the period: a lease that was not renewed for so long is not relied on
_MAX_POLL_S = 5.0


class Singleton:
    """The lock `name` in `state`, leased for `period_s` (15 to 60 seconds)."""

    def __init__(self, state: State, name: str, period_s: int, patience: Patience) -> None:
        self._state, self._name, self._period_s, self._patience = state, name, period_s, patience
        self._lease = ""
        self._renewed_at = float("-inf")
        self._is_held = asyncio.Event()
        self.lost = asyncio.Event()  # set when another host was seen to hold it after this one
        self._task: asyncio.Task[None] | None = None

    @property
    def is_held(self) -> bool:
        """Whether this host may rely on holding the lock now."""
        trusted_s = self._period_s * _TRUSTED_PART
        return bool(self._lease) and time.monotonic() - self._renewed_at < trusted_s

    async def start(self) -> None:
        """Try to take the lock, and go on trying and renewing. Raises StorageUnavailable, StorageRefused."""
        await self._take()
        self._task = asyncio.create_task(self._look_after(), name=f"fnpack-singleton {self._name}")

    async def stop(self) -> None:
        """Let the lock go."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        if self._lease:
            lease, self._lease = self._lease, ""
            self._is_held.clear()
            await _tolerant(self._state.release(self._name, lease))

    async def held(self) -> None:
        """Return once this host holds the lock, and forget that it was lost."""
        while not self.is_held:
            await self._is_held.wait()
            if not self.is_held:
                await asyncio.sleep(0.1)  # outdated; the task below finds out
        self.lost.clear()

    async def _look_after(self) -> None:
        while True:
            await asyncio.sleep(self._period_s / 4 if self._lease else min(self._period_s / 4, _MAX_POLL_S))
            try:
                await (self._renew() if self._lease else self._take())
            except (StorageRefused, StorageUnavailable) as exc:
                self._patience.lost(exc)
            except Exception:
                _log.exception("the lock `%s` could not be looked after; trying again", self._name)
            else:
                self._patience.recovered()

    async def _renew(self) -> None:
        if time.monotonic() - self._renewed_at < self._period_s / 2 - 0.1:
            return
        asked_at = time.monotonic()
        try:
            await self._state.renew(self._name, self._lease)
        except (ConflictError, NotFoundError):
            _log.warning("the lock `%s` went to another host", self._name)
            self._lease = ""
            self._is_held.clear()
            self.lost.set()
            await self._take()
        else:
            self._hold(self._lease, asked_at)

    async def _take(self) -> None:
        asked_at = time.monotonic()
        try:
            lease = await self._state.acquire(self._name, self._period_s)
        except NotFoundError:
            await _tolerant(self._state.put(self._name, b"", overwrite=False))
            lease = await _or_none(lambda: self._state.acquire(self._name, self._period_s))
        except ConflictError:
            return
        if lease:
            self._hold(lease, asked_at)

    def _hold(self, lease: str, since: float) -> None:
        self._lease, self._renewed_at = lease, since
        self._is_held.set()


async def _tolerant(call: Awaitable[None]) -> None:
    with suppress(ConflictError, NotFoundError):
        await call


async def _or_none(call: Callable[[], Awaitable[str]]) -> str:
    try:
        return await call()
    except (ConflictError, NotFoundError):
        return ""
