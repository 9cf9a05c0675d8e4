"""A lane that runs messages in batches, one batch at a time (`cardinality: many`)."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fnpack_triggers.base import Deliver, Event
from fnpack_triggers.service_bus.event import batch_event_of
from fnpack_triggers.service_bus.lane import IDLE_WAIT_S, Lane
from fnpack_triggers.service_bus.link import ReceivingLink
from fnpack_triggers.service_bus.runs import Key

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
        found = await link.receive(1, idle_s)
        if not found:
            return False
        batch: dict[
            Key, ServiceBusReceivedMessage
        ] = {}  # one whose lock ran out comes again, and counts once
        until = time.monotonic() + self._options.max_batch_wait_s
        while True:
            batch.update({self._flight(message).key: message for message in found})
            await self._renew_due(link)  # also while the batch waits
            is_enough = len(batch) >= self._options.min_batch or time.monotonic() >= until
            if self._stopping.is_set() or (is_enough and not found) or len(batch) >= self._options.max_batch:
                break
            left_s = _GAP_S if is_enough else max(until - time.monotonic(), _GAP_S)
            wait_s = min(left_s, IDLE_WAIT_S, self._due_in_s)
            found = await link.receive(self._room(link, len(batch)), wait_s)
            if found and link.has_session:
                until = min(until, time.monotonic() + self._options.idle_s)
        self._begin(deliver, list(batch.values()))
        return True

    def _room(self, link: ReceivingLink, count: int) -> int:
        """How many to ask for. Of a session one at a time: one that comes too late for its call is released by the
        library, and must not be overtaken by those behind it.
        """
        return 1 if link.has_session else self._options.max_batch - count
