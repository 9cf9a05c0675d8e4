"""A heap of points in time at which something is due, each under a key; moving and removing one is cheap."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import Generic, TypeVar

K = TypeVar("K", int, str)
_SLACK = 64


class Deadlines(Generic[K]):
    """Keys and when each is due, in milliseconds."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, K]] = []
        self._due: dict[K, int] = {}

    def __len__(self) -> int:
        return len(self._due)

    def set(self, key: K, at_ms: int) -> None:
        """Make `key` due at that time, whatever it was due at before."""
        self._due[key] = at_ms
        heapq.heappush(self._heap, (at_ms, key))
        self._compact()

    def discard(self, key: K) -> None:
        """Forget `key`."""
        if self._due.pop(key, None) is not None:
            self._compact()

    def next_ms(self) -> int | None:
        """When the next key is due."""
        while self._heap:
            at_ms, key = self._heap[0]
            if self._due.get(key) == at_ms:
                return at_ms
            heapq.heappop(self._heap)
        return None

    def pop_due(self, now_ms: int) -> Iterator[K]:
        """Remove and give each key that is due."""
        while True:
            at_ms = self.next_ms()
            if at_ms is None or at_ms > now_ms:
                return
            key = heapq.heappop(self._heap)[1]
            del self._due[key]
            yield key

    def _compact(self) -> None:
        """Entries that no longer count must not pile up: a renewed lock or a completed message leaves one."""
        if len(self._heap) > 2 * len(self._due) + _SLACK:
            self._heap = [(at_ms, key) for key, at_ms in self._due.items()]
            heapq.heapify(self._heap)
