"""The one task that owns a receiving link: it receives, renews and settles; functions run in tasks of their own.

What a lane takes from its link, and how much at once, its kinds say: single messages or batches.
"""

from __future__ import annotations

import asyncio
import logging
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fnpack_triggers.base import Deliver, Event
from fnpack_triggers.service_bus.faults import BusRefused, BusUnavailable, LockLost, NoSession, Outage
from fnpack_triggers.service_bus.link import ReceivingLink
from fnpack_triggers.service_bus.locks import SessionLock, half_of
from fnpack_triggers.service_bus.options import BusOptions
from fnpack_triggers.service_bus.runs import Key, Run, Runs, attempt, key_of, succeeded

if TYPE_CHECKING:
    from azure.servicebus import ServiceBusReceivedMessage

_log = logging.getLogger("fnpack.triggers.service_bus")
IDLE_WAIT_S = 1.0  # how long an idle lane listens, so how late it sees that it stops
_MIN_WAIT_S = 0.01
_NEVER = float("inf")


@dataclass(slots=True, eq=False)
class Flight:
    """A message that is locked for us, until it is settled. `is_done` is None while it runs."""

    key: Key
    message: ServiceBusReceivedMessage
    renew_at: float
    renew_until: float
    is_done: bool | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """What the lanes of a listener share: whose they are, how they connect, and what they know of each other's runs."""

    function: str
    path: str
    connect: Callable[[], Coroutine[None, None, ReceivingLink]]
    options: BusOptions
    runs: Runs
    outage: Outage


class Lane(ABC):
    """Runs messages of one entity, over one link at a time."""

    def __init__(self, source: Source) -> None:
        self._source, self._options = source, source.options
        self._stopping = asyncio.Event()
        self._flights: dict[Key, Flight] = {}
        self._own: set[Run] = set()  # those of lost links, too
        self._ended: deque[Flight] = deque()
        self._has_ended = asyncio.Event()
        self._session: SessionLock | None = None

    @abstractmethod
    async def _take(self, deliver: Deliver, link: ReceivingLink, idle_s: float) -> bool:
        """Receive, for at most about `idle_s` if nothing runs, and begin runs: whether anything came."""

    @property
    @abstractmethod
    def _has_room(self) -> bool:
        """Whether more may be received now."""

    @property
    def _settle_at_once(self) -> int | None:
        """How many messages are settled before more are received; None: all that have run."""
        return None

    @abstractmethod
    def _event_of(self, messages: Sequence[ServiceBusReceivedMessage]) -> Event:
        """The event of messages that are run together."""

    def finish(self) -> None:
        """Take nothing new; `run` returns when all in flight are settled."""
        self._stopping.set()

    def cancel_runs(self) -> int:
        """End the runs: their messages are given back. Returns how many messages there were."""
        for run in self._own:
            run.cancel()
        return sum(flight.is_done is None for flight in self._flights.values())

    async def run(self, deliver: Deliver, link: ReceivingLink | None) -> None:
        """Serve the entity until `finish`, with `link` while it lasts and then with new ones."""
        delay_s = self._options.delay_s
        while not self._is_through:
            try:
                link = link or await self._connect_unless_stopping()
                if link is not None:
                    self._source.outage.recovered()
                    delay_s = self._options.delay_s
                    await self._serve(deliver, link)
            except NoSession:
                continue
            except (BusUnavailable, BusRefused) as exc:
                self._source.outage.lost(exc)
            except LockLost:
                _log.warning(
                    "function `%s`: a session of `%s` is lost; it comes again",
                    self._source.function,
                    self._source.path,
                )
            except Exception:
                _log.exception(
                    "function `%s`: serving `%s` failed; connecting again",
                    self._source.function,
                    self._source.path,
                )
            else:
                if not self._stopping.is_set():
                    continue  # a session that is idle: the next one
            finally:
                self._let_go()
                if link is not None:
                    await link.close()
                    link = None
            if self._stopping.is_set():
                await self._drain()
            else:
                await self._pause(delay_s)
                delay_s = self._options.next_delay_s(delay_s)

    async def _connect_unless_stopping(self) -> ReceivingLink | None:
        connecting = asyncio.ensure_future(self._source.connect())
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait([connecting, stopping], return_when=asyncio.FIRST_COMPLETED)
            return connecting.result() if connecting.done() else None
        finally:
            stopping.cancel()
            if not connecting.done():
                connecting.cancel()
                await asyncio.wait([connecting])

    @property
    def _is_through(self) -> bool:
        return self._stopping.is_set() and not self._flights and not self._own

    async def _serve(self, deliver: Deliver, link: ReceivingLink) -> None:
        """Receive and settle until stopped and settled, or the session is idle. Raises when the link is lost."""
        self._session = SessionLock(link, self._options.max_renewal_s) if link.has_session else None
        busy_at = time.monotonic()
        while not self._is_through:
            await self._settle_ended(link)
            await self._renew_due(link)
            if self._stopping.is_set() or not self._has_room:
                await self._wait_for_end()
                busy_at = time.monotonic()
                continue
            idle_s = min(IDLE_WAIT_S, self._due_in_s)
            if link.has_session and not self._flights:
                idle_s = min(idle_s, self._options.idle_s - (time.monotonic() - busy_at))
                if idle_s <= 0:
                    return
            if await self._take(deliver, link, idle_s) or self._flights:
                busy_at = time.monotonic()

    async def _drain(self) -> None:
        """Without a link: the runs end, and what they leave is the broker's to hand out again."""
        if self._own:
            await asyncio.wait(self._own)

    async def _pause(self, delay_s: float) -> None:
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), delay_s)

    # --- runs ---

    def _begin(self, deliver: Deliver, messages: Sequence[ServiceBusReceivedMessage]) -> None:
        """Run messages together; those that are running or have been run join that run."""
        new: list[Flight] = []
        for message in messages:
            flight = self._flight(message)
            if self._source.runs.has_finished(flight.key):
                _log.info(
                    "`%s`: message %s was run before and is only completed",
                    self._source.path,
                    flight.key[0],
                )
                self._end(flight, True)
            elif (run := self._source.runs.running(flight.key)) is not None:
                self._follow(flight, run)
            else:
                new.append(flight)
        if not new:
            return
        event = self._event_of([flight.message for flight in new])
        run = asyncio.create_task(self._run(deliver, event), name=f"fnpack-service-bus {event.source}")
        self._own.add(run)
        run.add_done_callback(self._own.discard)
        self._source.runs.add([flight.key for flight in new], run)
        for flight in new:
            self._follow(flight, run)

    def _flight(self, message: ServiceBusReceivedMessage) -> Flight:
        key, now = key_of(message), time.monotonic()
        flight = self._flights.get(key)
        if flight is None or flight.message is not message:
            limit_s = self._options.max_renewal_s
            until = _NEVER if limit_s is None else now + limit_s
            at = _NEVER if self._session else half_of(message.locked_until_utc)
            flight = self._flights[key] = Flight(key, message, at, until)
        return flight

    async def _run(self, deliver: Deliver, event: Event) -> bool:
        try:
            return await attempt(deliver, event, self._stopping)
        except Exception:
            _log.exception("delivering %s failed inside fnpack; this is a bug", event.source)
            return False

    def _follow(self, flight: Flight, run: Run) -> None:
        run.add_done_callback(lambda run: self._end(flight, succeeded(run)))

    def _end(self, flight: Flight, is_done: bool) -> None:
        flight.is_done = is_done
        self._ended.append(flight)
        self._has_ended.set()

    async def _wait_for_end(self) -> None:
        """Wait until a run ends or a lock is due."""
        wait_s = min(self._due_in_s, IDLE_WAIT_S)
        self._has_ended.clear()
        if not self._ended:
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._has_ended.wait(), wait_s)

    @property
    def _due_in_s(self) -> float:
        """When a lock is to be renewed."""
        due = min((flight.renew_at for flight in self._flights.values()), default=_NEVER)
        if self._session is not None:
            due = min(due, self._session.renew_at)
        return max(due - time.monotonic(), _MIN_WAIT_S)

    def _let_go(self) -> None:
        """The link is lost, and with it what the messages were settled by; their runs go on."""
        self._flights.clear()
        self._ended.clear()
        self._session = None

    # --- settling ---

    async def _settle_ended(self, link: ReceivingLink) -> None:
        limit, settled = self._settle_at_once, 0
        while self._ended and settled != limit:
            flight = self._ended.popleft()
            if self._flights.get(flight.key) is flight:
                settled += 1
                await self._settle(link, flight)

    async def _settle(self, link: ReceivingLink, flight: Flight) -> None:
        del self._flights[flight.key]  # whatever comes now: it is not known whether the broker has heard it
        try:
            if not flight.is_done:
                await link.abandon(flight.message)
            elif self._options.is_auto_complete:
                await link.complete(flight.message)
        except LockLost as exc:
            _log.warning(
                "function `%s`: the lock of message %s ran out before it was settled (%s); it comes again",
                self._source.function,
                flight.key[0],
                exc,
            )
        else:
            self._source.runs.settled(flight.key)

    async def _renew_due(self, link: ReceivingLink) -> None:
        if self._session is not None:
            await self._session.renew_if_due(is_busy=bool(self._flights))
            return
        now = time.monotonic()
        for flight in list(self._flights.values()):
            if flight.renew_at > now:
                continue
            if now >= flight.renew_until:
                flight.renew_at = _NEVER
                continue
            try:
                await link.renew(flight.message)
            except LockLost:
                flight.renew_at = _NEVER
                _log.warning(
                    "function `%s`: the lock of message %s is lost while it runs; it may run again",
                    self._source.function,
                    flight.key[0],
                )
            else:
                flight.renew_at = half_of(flight.message.locked_until_utc)
