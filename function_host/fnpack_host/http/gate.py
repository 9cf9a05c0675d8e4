"""How many requests run and wait at once: host.json `maxConcurrentRequests` and `maxOutstandingRequests`."""

from __future__ import annotations

import asyncio
from collections import deque


class RequestGate:
    """Lets `running` requests in at once, the others in order of arrival; refuses those over `outstanding`.

    -1 means without bound. A waiting request whose task is cancelled leaves the line.
    """

    def __init__(self, running: int = -1, outstanding: int = -1) -> None:
        self._max_running, self._max_outstanding = running, outstanding
        self._running = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def outstanding(self) -> int:
        """Requests that run or wait."""
        return self._running + len(self._waiting)

    async def enter(self) -> bool:
        """Wait for a place; False at once where too many wait already. Each True needs one `leave`."""
        if 0 <= self._max_outstanding <= self.outstanding:
            return False
        if self._max_running < 0 or (self._running < self._max_running and not self._waiting):
            self._running += 1
            return True
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self.leave()
            elif place in self._waiting:
                self._waiting.remove(place)
            raise
        return True

    def leave(self) -> None:
        """Give the place to the next in line."""
        while self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(None)  # the place passes on: the number of running ones stays
                return
        self._running -= 1
