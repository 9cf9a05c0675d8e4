"""A lane that runs messages in batches, one batch at a time (`cardinality: many`)."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fnpack_triggers.base import Deliver, Event
from fnpack_triggers.service_bus.event import batch_event_of
from fnpack_triggers.service_bus.lane import IDLE_WAIT_S, Lane
from fnpack_triggers.service_bus.link import ReceivingLink

if TYPE_CHECKING:
    from azure.servicebus import ServiceBusReceivedMessage

_GAP_S = 0.05  # a batch that has enough is run when nothing more comes for so long


class BatchLane(Lane):
    """Runs a batch as soon as it is large enough, or has waited long enough, and settles it as a whole."""

    @property
    def _has_room(self) -> bool:
        return not self._own

    def _event_of(self, messages: Sequence[ServiceBusReceivedMessage]) -> Event:
        return batch_event_of(messages, self._source.path)

    async def _take(self, deliver: Deliver, link: ReceivingLink, idle_s: float) -> bool:
        batch = await link.receive(1, idle_s)
        if not batch:
            return False
        until = time.monotonic() + self._options.max_batch_wait_s
        while len(batch) < self._options.max_batch:
            for message in batch:
                self._flight(message)  # its lock is renewed while the batch waits
            await self._renew_due(link)
            left_s = 0.0 if len(batch) >= self._options.min_batch else until - time.monotonic()
            more = await link.receive(self._room(link, len(batch)), min(max(left_s, _GAP_S), IDLE_WAIT_S))
            batch += more
            if more and link.session_id:
                until = min(until, time.monotonic() + self._options.idle_s)
            is_enough = len(batch) >= self._options.min_batch or time.monotonic() >= until
            if self._stopping.is_set() or (is_enough and not more):
                break
        self._begin(deliver, batch)
        return True

    def _room(self, link: ReceivingLink, count: int) -> int:
        """How many to ask for. Of a session one at a time: one that comes too late for its call is released by the
        library, and must not be overtaken by those behind it.
        """
        return 1 if link.session_id else self._options.max_batch - count
