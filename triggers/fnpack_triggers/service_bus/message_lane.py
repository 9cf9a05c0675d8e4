"""A lane that runs each message by itself, several at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fnpack_triggers.base import Deliver, Event
from fnpack_triggers.service_bus.event import event_of
from fnpack_triggers.service_bus.lane import Lane, Source
from fnpack_triggers.service_bus.link import ReceivingLink

if TYPE_CHECKING:
    from azure.servicebus import ServiceBusReceivedMessage

_BUSY_WAIT_S = 0.02  # how long a lane with messages in flight listens, so how late it settles them


class MessageLane(Lane):
    """Runs at most `max_calls` messages at once; with one, and on a session's link, one after the other."""

    def __init__(self, source: Source, max_calls: int) -> None:
        super().__init__(source)
        self._max_calls = max_calls

    @property
    def _has_room(self) -> bool:
        return self._room > 0

    def _event_of(self, messages: Sequence[ServiceBusReceivedMessage]) -> Event:
        (message,) = messages
        return event_of(message, self._source.path)

    async def _take(self, deliver: Deliver, link: ReceivingLink, idle_s: float) -> bool:
        # A wait for one message ends when it is there; a wait for more ends when no more come.
        count, wait_s = (self._room, _BUSY_WAIT_S) if self._flights else (1, idle_s)
        messages = await link.receive(count, wait_s)
        for message in messages:
            self._begin(deliver, [message])
        return bool(messages)

    @property
    def _room(self) -> int:
        return self._max_calls - max(len(self._own), len(self._flights))
