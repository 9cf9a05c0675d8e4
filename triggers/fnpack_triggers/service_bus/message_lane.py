"""A lane that runs each message by itself, several at once."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fnpack_triggers.base import Deliver, Event
from fnpack_triggers.service_bus.event import event_of
from fnpack_triggers.service_bus.lane import Lane, Source
from fnpack_triggers.service_bus.link import ReceivingLink

if TYPE_CHECKING:
    from azure.servicebus import ServiceBusReceivedMessage

_BUSY_WAIT_S = 0.02  # how long a lane with messages in flight listens, so how late it settles them
_QUICK_S, _QUICK_CALLS = 0.003, 3  # so many answers in a row that were there at once: messages wait in line
_CHUNK = 16


class MessageLane(Lane):
    """Runs at most `max_calls` messages at once; with one, and on a session's link, one after the other.

    A call for several messages waits for all of them, so that is made only while messages wait in line. Then the next
    ones are fetched before all that have run are settled.
    """

    def __init__(self, source: Source, max_calls: int) -> None:
        super().__init__(source)
        self._max_calls = max_calls
        self._quick_calls = 0

    @property
    def _has_room(self) -> bool:
        return self._room > 0

    @property
    def _settle_at_once(self) -> int | None:
        return _CHUNK if self._is_hurried else None

    def _event_of(self, messages: Sequence[ServiceBusReceivedMessage]) -> Event:
        (message,) = messages
        return event_of(message, self._source.path)

    async def _take(self, deliver: Deliver, link: ReceivingLink, idle_s: float) -> bool:
        count = self._room if self._is_hurried else 1
        since = time.monotonic()
        messages = await link.receive(count, _BUSY_WAIT_S if self._flights else idle_s)
        is_quick = len(messages) == count and time.monotonic() - since < _QUICK_S * count
        self._quick_calls = self._quick_calls + 1 if is_quick else 0
        for message in messages:
            self._begin(deliver, [message])
        return bool(messages)

    @property
    def _is_hurried(self) -> bool:
        return self._quick_calls >= _QUICK_CALLS

    @property
    def _room(self) -> int:
        if self._max_calls == 1:
            return 1 - max(len(self._own), len(self._flights))
        # What has run, but is not settled, may be as much again.
        return min(self._max_calls - len(self._own), 2 * self._max_calls - len(self._flights))
