"""The one task that owns a receiving link: it receives, renews and settles; functions run in tasks of their own.

A message whose link was lost while its function ran stays known: when the broker hands it out again, it is joined
with that run instead of being run twice.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from fnpack_triggers.base import Deliver, InvocationFailed
from fnpack_triggers.blob.faults import StorageUnavailable
from fnpack_triggers.service_bus.event import event_of
from fnpack_triggers.service_bus.faults import BusRefused, BusUnavailable, LockLost, Outage
from fnpack_triggers.service_bus.link import ReceivingLink
from fnpack_triggers.service_bus.options import BusOptions

if TYPE_CHECKING:
    from azure.servicebus import ServiceBusReceivedMessage

_log = logging.getLogger("fnpack.triggers.service_bus")
_IDLE_WAIT_S = 1.0  # how long an idle lane listens, so how late it sees that it stops
_BUSY_WAIT_S = 0.02  # how long one with messages in flight listens, so how late it settles them
_MIN_RENEWAL_S = 0.5
_EXCUSED_PAUSE_S = 4.0
_REMEMBERED = 10_000
_MAX_BACKOFF_S = 10.0

Key = tuple[str, int, str]


@dataclass(slots=True, eq=False)
class Flight:
    """A message and its run. `message` is None while its link is lost; `is_done` is None while it runs."""

    key: Key
    message: ServiceBusReceivedMessage | None
    renew_at: float
    renew_until: float
    is_done: bool | None = None
    task: asyncio.Task[None] | None = field(default=None, repr=False)


class Lane:
    """Runs messages of one entity, at most `options.max_concurrent_calls` at once."""

    def __init__(
        self,
        function: str,
        path: str,
        connect: Callable[[], Coroutine[None, None, ReceivingLink]],
        options: BusOptions,
    ) -> None:
        self._function, self._path = function, path
        self._connect, self._options = connect, options
        self._outage = Outage(f"`{path}`")
        self._stopping = asyncio.Event()
        self._flights: dict[Key, Flight] = {}
        self._ended: deque[Flight] = deque()
        self._has_ended = asyncio.Event()
        self._finished: OrderedDict[Key, None] = OrderedDict()  # run well, but not yet off the entity

    def finish(self) -> None:
        """Take nothing new; `run` returns when all in flight are settled."""
        self._stopping.set()

    def cancel_runs(self) -> int:
        """End the runs in flight: their messages are given back. Returns how many there were."""
        unfinished = [one.task for one in self._flights.values() if one.task and not one.task.done()]
        for task in unfinished:
            task.cancel()
        return len(unfinished)

    def lost(self, exc: BusUnavailable | BusRefused) -> None:
        """Note that the first connection failed."""
        self._outage.lost(exc)

    async def run(self, deliver: Deliver, link: ReceivingLink | None) -> None:
        """Serve the entity until `finish`, with `link` while it lasts and then with new ones."""
        delay_s = self._options.delay_s
        while not self._is_through():
            try:
                link = link or await self._connect_unless_stopping()
                if link is None:
                    continue
                self._outage.recovered()
                delay_s = self._options.delay_s
                await self._serve(deliver, link)
            except (BusUnavailable, BusRefused) as exc:
                self._outage.lost(exc)
            except Exception:
                _log.exception(
                    "function `%s`: serving `%s` failed; connecting again", self._function, self._path
                )
            finally:
                self._let_go()
                if link is not None:
                    await link.close()
                    link = None
            if self._stopping.is_set():
                await self._drain()
            else:
                await self._pause(delay_s)
                delay_s = min(delay_s * 2, self._options.max_delay_s, _MAX_BACKOFF_S)

    async def _connect_unless_stopping(self) -> ReceivingLink | None:
        connecting = asyncio.ensure_future(self._connect())
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait([connecting, stopping], return_when=asyncio.FIRST_COMPLETED)
            return connecting.result() if connecting.done() else None
        finally:
            stopping.cancel()
            if not connecting.done():
                connecting.cancel()
                await asyncio.wait([connecting])

    def _is_through(self) -> bool:
        return self._stopping.is_set() and not self._flights

    async def _serve(self, deliver: Deliver, link: ReceivingLink) -> None:
        """Receive and settle until stopped and settled. Raises when the link is lost."""
        while not self._is_through():
            await self._settle_ended(link)
            await self._renew_due(link)
            room = self._options.max_concurrent_calls - len(self._flights)
            if self._stopping.is_set() or room <= 0:
                await self._wait_for_end()
                continue
            # A wait for one message ends when it is there; a wait for more ends when no more come.
            count, wait_s = (room, _BUSY_WAIT_S) if self._flights else (1, _IDLE_WAIT_S)
            for message in await link.receive(count, wait_s):
                self._begin(deliver, message)

    async def _drain(self) -> None:
        """Without a link: the runs end, and what they leave is the broker's to hand out again."""
        while self._flights:
            await self._wait_for_end()
            while self._ended:
                self._forget(self._ended.popleft())

    async def _pause(self, delay_s: float) -> None:
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), delay_s)

    # --- runs ---

    def _begin(self, deliver: Deliver, message: ServiceBusReceivedMessage) -> None:
        key = _key_of(message)
        now = time.monotonic()
        renewal_s = self._options.max_renewal_s
        until = float("inf") if renewal_s is None else now + renewal_s
        known = self._flights.get(key)
        if known is not None:
            known.message, known.renew_at, known.renew_until = message, _half_of_lock(message), until
            if known.is_done is not None:
                self._end(known, known.is_done)
            return
        flight = Flight(key, message, _half_of_lock(message), until)
        self._flights[key] = flight
        if key in self._finished:
            _log.info("`%s`: message %s was run before and is only completed", self._path, key[0])
            self._end(flight, True)
            return
        flight.task = asyncio.create_task(
            self._run_one(deliver, flight, message), name=f"fnpack-service-bus {self._path}/{key[0]}"
        )

    async def _run_one(self, deliver: Deliver, flight: Flight, message: ServiceBusReceivedMessage) -> None:
        is_done = False
        try:
            is_done = await self._attempt(deliver, message)
        except asyncio.CancelledError:
            pass  # the lane gives the message back
        except Exception:
            _log.exception("delivering message %s failed inside fnpack; this is a bug", flight.key[0])
        finally:
            self._end(flight, is_done)

    def _end(self, flight: Flight, is_done: bool) -> None:
        flight.is_done = is_done
        self._ended.append(flight)
        self._has_ended.set()

    async def _attempt(self, deliver: Deliver, message: ServiceBusReceivedMessage) -> bool:
        event = event_of(message, self._path)
        pause_s = 0.5
        while True:
            try:
                await deliver(event)
            except InvocationFailed as exc:
                # An output that is away is not the message's fault: the same attempt again.
                if self._stopping.is_set() or not isinstance(exc.__cause__, StorageUnavailable):
                    return False
            else:
                return True
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, _EXCUSED_PAUSE_S)

    async def _wait_for_end(self) -> None:
        """Wait until a run ends or a lock is due."""
        due = min((one.renew_at for one in self._flights.values() if one.message), default=float("inf"))
        wait_s = min(max(due - time.monotonic(), 0.01), _IDLE_WAIT_S)
        self._has_ended.clear()
        if not self._ended:
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._has_ended.wait(), wait_s)

    def _let_go(self) -> None:
        """The link is lost, and with it what the messages were settled by."""
        for flight in self._flights.values():
            flight.message = None

    def _forget(self, flight: Flight) -> None:
        """A run without a message to settle: remember it, should the message come again."""
        self._flights.pop(flight.key, None)
        if flight.is_done and self._options.is_auto_complete:
            self._finished[flight.key] = None
            while len(self._finished) > _REMEMBERED:
                self._finished.popitem(last=False)

    # --- settling ---

    async def _settle_ended(self, link: ReceivingLink) -> None:
        while self._ended:
            flight = self._ended.popleft()
            if self._flights.get(flight.key) is not flight:
                continue
            if flight.message is None:
                self._forget(flight)
            else:
                await self._settle(link, flight, flight.message)

    async def _settle(self, link: ReceivingLink, flight: Flight, message: ServiceBusReceivedMessage) -> None:
        try:
            if not flight.is_done:
                await link.abandon(message)
            elif self._options.is_auto_complete:
                await link.complete(message)
        except LockLost as exc:
            self._forget(flight)
            _log.warning(
                "function `%s`: the lock of message %s ran out before it was settled (%s); it comes again",
                self._function,
                flight.key[0],
                exc,
            )
        except BaseException:  # it is not known whether the broker has heard it
            self._forget(flight)
            raise
        else:
            self._flights.pop(flight.key, None)
            self._finished.pop(flight.key, None)

    async def _renew_due(self, link: ReceivingLink) -> None:
        now = time.monotonic()
        for flight in list(self._flights.values()):
            if flight.message is None or flight.renew_at > now:
                continue
            if now >= flight.renew_until:
                flight.renew_at = float("inf")
                continue
            try:
                await link.renew(flight.message)
            except LockLost:
                flight.renew_at = float("inf")
                _log.warning(
                    "function `%s`: the lock of message %s is lost while it runs; it may run again",
                    self._function,
                    flight.key[0],
                )
            else:
                flight.renew_at = _half_of_lock(flight.message)


def _key_of(message: ServiceBusReceivedMessage) -> Key:
    """What tells a message from all others, also after the broker was set up anew."""
    number, enqueued = message.sequence_number or 0, message.enqueued_time_utc
    return str(message.message_id), number, "" if enqueued is None else enqueued.isoformat()


def _half_of_lock(message: ServiceBusReceivedMessage) -> float:
    """When to renew, by the monotonic clock."""
    until = message.locked_until_utc
    if until is None:
        return float("inf")
    left_s = (until - datetime.now(timezone.utc)).total_seconds()
    return time.monotonic() + max(left_s / 2, _MIN_RENEWAL_S)
