"""What runs and what has run, by message: a message that comes again is joined with its run, not run twice.

It comes again when its link, its lock or its session was lost while its function ran. All lanes of a listener share
one such memory, as the broker may hand the message to any of them.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fnpack_triggers.base import Deliver, Event, InvocationFailed
from fnpack_triggers.blob.faults import StorageUnavailable

if TYPE_CHECKING:
    from azure.servicebus import ServiceBusReceivedMessage

_EXCUSED_PAUSE_S = 4.0
_REMEMBERED = 10_000

Key = tuple[str, int, int]  # message id, sequence number, when it was enqueued
Run = asyncio.Task[bool]  # whether the messages are done


class Runs:
    """The runs of a listener. With `remembers`, messages that were run well are known until they are settled."""

    def __init__(self, *, remembers: bool) -> None:
        self._remembers = remembers
        self._running: dict[Key, Run] = {}
        self._finished: OrderedDict[Key, None] = OrderedDict()

    def running(self, key: Key) -> Run | None:
        """The run of a message that goes on."""
        return self._running.get(key)

    def has_finished(self, key: Key) -> bool:
        """Whether the message was run well, but is not known to be off the entity."""
        return key in self._finished

    def add(self, keys: Sequence[Key], run: Run) -> None:
        """Note that `run` runs these messages."""
        self._running.update(dict.fromkeys(keys, run))
        run.add_done_callback(lambda run: self._over(keys, run))

    def settled(self, key: Key) -> None:
        """The broker will not hand the message out again for this run."""
        self._finished.pop(key, None)

    def _over(self, keys: Sequence[Key], run: Run) -> None:
        for key in keys:
            self._running.pop(key, None)
        if self._remembers and succeeded(run):
            self._finished.update(dict.fromkeys(keys))
            while len(self._finished) > _REMEMBERED:
                self._finished.popitem(last=False)


def succeeded(run: Run) -> bool:
    """Whether a run that is over did what it should."""
    return not run.cancelled() and run.result()


def key_of(message: ServiceBusReceivedMessage) -> Key:
    """What tells a message from all others, also after the broker was set up anew."""
    raw = message.raw_amqp_message
    enqueued_ms = (raw.annotations or {}).get(b"x-opt-enqueued-time")
    name = getattr(raw.properties, "message_id", None)
    text = name.decode(errors="replace") if isinstance(name, bytes) else str(name)
    return text, message.sequence_number or 0, enqueued_ms if isinstance(enqueued_ms, int) else 0


async def attempt(deliver: Deliver, event: Event, stopping: asyncio.Event) -> bool:
    """Run the function for `event`: whether it succeeded.

    An output that is away is not the message's fault: the same attempt again, unless the listener stops.
    """
    pause_s = 0.5
    while True:
        try:
            await deliver(event)
        except InvocationFailed as exc:
            if stopping.is_set() or not isinstance(exc.__cause__, StorageUnavailable):
                return False
        else:
            return True
        await asyncio.sleep(pause_s)
        pause_s = min(pause_s * 2, _EXCUSED_PAUSE_S)
