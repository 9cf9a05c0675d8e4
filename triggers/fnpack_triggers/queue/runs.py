"""Runs one received message to its end: delivered and deleted, given back for a retry, or moved to poison."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum, auto

from fnpack_triggers.base import Deliver, InvocationFailed
from fnpack_triggers.blob.faults import Patience, StorageUnavailable
from fnpack_triggers.queue.channel import Message, NotOursError, QueueAbsentError, QueueChannel
from fnpack_triggers.queue.encoding import UndecodableError, decode
from fnpack_triggers.queue.event import event_of
from fnpack_triggers.queue.options import QueueOptions

_log = logging.getLogger("fnpack.triggers.queue")
_EXCUSED_PAUSE_S = 4.0


class Outcome(Enum):
    """How the run of a message ended."""

    DONE = auto()
    FAILED = auto()
    POISON = auto()
    RETURNED = auto()  # not the message's fault, and no time to try again here


@dataclass(slots=True)
class QueueRuns:
    """Everything a run needs. `poison` is None where the queue gets no poison queue."""

    function: str
    queue: QueueChannel
    poison: QueueChannel | None
    deliver: Deliver
    options: QueueOptions
    patience: Patience
    stopping: asyncio.Event

    async def run(self, message: Message) -> None:
        """Run `message` and settle it. If cancelled before the function is through, the message is given back."""
        try:
            outcome = await self._attempt(message)
        except asyncio.CancelledError:
            await asyncio.shield(self.give_back(message))
            raise
        match outcome:
            case Outcome.DONE:
                await self._settle(message, lambda: self.queue.delete(message))
            case Outcome.FAILED:
                await self._fail(message)
            case Outcome.POISON:
                await self._move_to_poison(message)
            case Outcome.RETURNED:
                await self.give_back(message)

    async def give_back(self, message: Message) -> None:
        """Make a message that did not run visible again at once, as well as that goes in one call."""
        try:
            await self.queue.release(message, 0)
        except (NotOursError, QueueAbsentError):
            pass
        except Exception:
            _log.warning(
                "message %s could not be given back; it is visible again after %g s at most",
                message.id,
                self.options.hold_s,
            )

    async def _attempt(self, message: Message) -> Outcome:
        if message.dequeue_count > self.options.max_dequeue_count and self.poison is not None:
            # It ended its hosts before they could count the attempt as failed.
            _log.error("message %s was taken %d times and never finished", message.id, message.dequeue_count)
            return Outcome.POISON
        try:
            payload = decode(message.text, is_base64=self.options.is_base64)
        except UndecodableError as exc:
            _log.error(
                "function `%s`: message %s of queue `%s` cannot be read: %s. Check "
                "extensions.queues.messageEncoding of host.json against what the sender writes",
                self.function,
                message.id,
                self.queue.name,
                exc,
            )
            return Outcome.POISON
        return await self._deliver(message, payload)

    async def _deliver(self, message: Message, payload: bytes) -> Outcome:
        pause_s = 0.5
        while True:
            try:
                await self.deliver(event_of(message, payload, self.queue.name))
            except InvocationFailed as exc:
                if not isinstance(exc.__cause__, StorageUnavailable):
                    return Outcome.FAILED
            except Exception:
                _log.exception("delivering message %s failed inside fnpack; this is a bug", message.id)
                return Outcome.FAILED
            else:
                return Outcome.DONE
            # The storage of an output is away: the same attempt again.
            if self.stopping.is_set():
                return Outcome.RETURNED
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, _EXCUSED_PAUSE_S)

    async def _fail(self, message: Message) -> None:
        if self.poison is None:
            # Without a poison queue a message that always fails would come back at once, for ever.
            _log.error(
                "message %s failed (attempt %d); it is tried again after %g s, as queue `%s` gets no poison queue",
                message.id,
                message.dequeue_count,
                self.options.hold_s,
                self.queue.name,
            )
            await self._settle(message, lambda: self.queue.release(message, self.options.hold_s))
        elif message.dequeue_count >= self.options.max_dequeue_count:
            await self._move_to_poison(message)
        else:
            await self._settle(message, lambda: self.queue.release(message, self.options.retry_after_s))

    async def _move_to_poison(self, message: Message) -> None:
        poison = self.poison
        if poison is None:
            await self._fail(message)
            return
        await self.patience.run(lambda: poison.send(message.text))
        await self._settle(message, lambda: self.queue.delete(message))
        _log.error(
            "message %s of queue `%s` is given up after %d attempts; its text is in queue `%s`",
            message.id,
            self.queue.name,
            message.dequeue_count,
            poison.name,
        )

    async def _settle(self, message: Message, call: Callable[[], Awaitable[None]]) -> None:
        try:
            await self.patience.run(call)
        except (NotOursError, QueueAbsentError) as exc:
            # A call whose answer was lost in an outage was repeated, or another host took the message.
            _log.info("message %s was settled already (%s)", message.id, exc)
