"""When to look into an idle queue next: random exponential back-off, cut short when this process writes to it."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from contextlib import suppress
from weakref import WeakSet

from fnpack_triggers.queue.options import MIN_POLLING_INTERVAL_S

_waiting: defaultdict[tuple[str, str], WeakSet[asyncio.Event]] = defaultdict(WeakSet)


def wake(account: str, queue: str) -> None:
    """A message was sent to `queue` from here: listeners in this process need not wait for their next poll."""
    for event in _waiting.get((account, queue), ()):
        event.set()


class Backoff:
    """The pauses between polls of one queue: 0.1 s after something was found, growing to `maximum_s`."""

    def __init__(self, account: str, queue: str, maximum_s: float) -> None:
        self._maximum_s = maximum_s
        self._empty_polls = 0
        self._woken = asyncio.Event()
        _waiting[account, queue].add(self._woken)

    def found(self) -> None:
        """A poll found messages."""
        self._empty_polls = 0

    def next_s(self) -> float:
        """How long to wait after another empty poll."""
        self._empty_polls += 1
        steps: int = 2 ** min(self._empty_polls, 30) - 1
        grown_s = MIN_POLLING_INTERVAL_S * steps * random.uniform(0.8, 1.2)  # noqa: S311 - jitter
        return min(max(grown_s, MIN_POLLING_INTERVAL_S), self._maximum_s)

    async def pause(self) -> None:
        """Wait until the next poll is due or something was sent to the queue from here."""
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._woken.wait(), self.next_s())
        if self._woken.is_set():
            self._woken.clear()
            self.found()

    def interrupt(self) -> None:
        """End a pause at once."""
        self._woken.set()
