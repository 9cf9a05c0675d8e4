"""The timer trigger: follows a schedule while this host holds the timer's lock."""

from __future__ import annotations

import asyncio
import json
import logging
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import timezone, tzinfo

from fnpack_triggers.base import Deliver, Event, InvocationFailed, Json
from fnpack_triggers.blob.account import open_blobs
from fnpack_triggers.blob.faults import Patience, StorageRefused, StorageUnavailable, at_start
from fnpack_triggers.blob.state import AzureState, State
from fnpack_triggers.connections import StorageConnection
from fnpack_triggers.timer.clock import Clock, SystemClock
from fnpack_triggers.timer.schedule import Schedule
from fnpack_triggers.timer.singleton import Singleton
from fnpack_triggers.timer.status import ScheduleStatus, StatusStore, first_status, reviewed

_log = logging.getLogger("fnpack.triggers.timer")
_START_PATIENCE_S = 30.0
_CLOSING_S = 5.0


@dataclass(frozen=True, slots=True)
class TimerOptions:
    """How a timer runs. `lock_period_s` is how late another host takes over when one was killed (15 to 60).

    `use_monitor` keeps the status in storage, so that a run that was missed is made up for; a schedule that is
    due more than once a minute is never monitored.
    """

    schedule: Schedule
    zone: tzinfo = timezone.utc
    run_on_startup: bool = False
    use_monitor: bool = True
    lock_period_s: int = 60

    @property
    def is_monitored(self) -> bool:
        """Whether the status is kept in storage."""
        return self.use_monitor and not self.schedule.is_within_minutes


@dataclass(slots=True)
class _Parts:
    """What exists while the listener runs."""

    deliver: Deliver
    lock: Singleton
    store: StatusStore
    resources: AsyncExitStack
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    idle: asyncio.Event = field(default_factory=asyncio.Event)


class TimerTrigger:
    """The listener of one timer-triggered function. Its status and lock live in `connection`'s account.

    Of all listeners with the same `host_id` and function, in any process or machine, one at a time runs the
    function, and never twice at the same time. `clock` and `state` stand in for the real ones in tests.
    """

    def __init__(
        self,
        function: str,
        options: TimerOptions,
        host_id: str,
        connection: StorageConnection,
        *,
        clock: Clock | None = None,
        state: State | None = None,
    ) -> None:
        self.function = function
        self._options, self._host_id, self._connection = options, host_id, connection
        self._clock: Clock = clock or SystemClock()
        self._state = state
        self._patience = Patience(connection.account)
        self._parts: _Parts | None = None
        self._task: asyncio.Task[None] | None = None
        self._status: ScheduleStatus | None = None
        self._starts_up = options.run_on_startup

    async def start(self, deliver: Deliver) -> None:
        """Reach the state storage, try to take the lock, and begin.

        Raises ConnectionSettingError when the account refuses the key, and ServiceError when it does not answer
        within 30 seconds.
        """
        resources = AsyncExitStack()
        try:
            parts = await self._open(deliver, resources)
        except BaseException:
            await resources.aclose()
            raise
        self._parts = parts
        self._task = asyncio.create_task(self._run(parts), name=f"fnpack-timer-{self.function}")

    async def stop(self, grace_s: float = 25.0) -> None:
        """Start nothing new, let a run end within `grace_s`, and give the lock to another host."""
        if self._task is None or self._parts is None:
            return
        task, parts, self._task = self._task, self._parts, None
        parts.stopping.set()
        try:
            await asyncio.wait_for(parts.idle.wait(), grace_s)
        except asyncio.TimeoutError:
            _log.warning("function `%s`: the run under way did not end and is given up", self.function)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        try:
            await asyncio.wait_for(parts.lock.stop(), _CLOSING_S)
        except (asyncio.TimeoutError, StorageRefused, StorageUnavailable):
            _log.warning("function `%s`: the lock could not be released; it ends by itself", self.function)
        await parts.resources.aclose()

    async def start_by_hand(self, text: str) -> None:
        """Run the function now, whatever the schedule says; `text` is of no account. Raises InvocationFailed."""
        if self._parts is not None:
            await self._parts.deliver(self._event(self._status, is_past_due=False))

    async def _open(self, deliver: Deliver, resources: AsyncExitStack) -> _Parts:
        state = self._state
        if state is None:
            state = AzureState(await resources.enter_async_context(open_blobs(self._connection)), "")
        timer = f"Host.Functions.{self.function}"
        lock = Singleton(
            state, f"locks/{self._host_id}/{timer}.Listener", self._options.lock_period_s, self._patience
        )
        store = StatusStore(state, f"timers/{self._host_id}/{timer}/status")
        try:
            await self._patience.run(state.open, limit_s=_START_PATIENCE_S)
            await self._patience.run(lock.start, limit_s=_START_PATIENCE_S)
        except (StorageRefused, StorageUnavailable) as exc:
            raise at_start(exc, self._connection.setting) from exc
        parts = _Parts(deliver, lock, store, resources)
        parts.idle.set()
        return parts

    async def _run(self, parts: _Parts) -> None:
        while not parts.stopping.is_set():
            await parts.lock.held()
            try:
                await self._follow(parts)
            except OverflowError:
                _log.warning("function `%s`: its schedule is never due again", self.function)
                return
            except Exception:
                _log.exception(
                    "function `%s`: its schedule failed inside fnpack; this is a bug", self.function
                )
                await asyncio.sleep(1)

    async def _follow(self, parts: _Parts) -> None:
        """Run the function whenever it is due, until the lock is lost or the listener stops."""
        status, is_past_due = await self._resume(parts)
        if parts.stopping.is_set():
            return
        _log.info("function `%s`: due next at %s", self.function, status.next.isoformat())
        if is_past_due:
            status = await self._fire(parts, status, is_past_due=True)
        elif self._starts_up:
            status = await self._fire(parts, status)
        self._starts_up = False
        while await self._is_due(parts, status):
            status = await self._fire(parts, status, is_scheduled=True)

    async def _resume(self, parts: _Parts) -> tuple[ScheduleStatus, bool]:
        """The status to go on from, and whether a run was missed meanwhile."""
        now, schedule = self._clock.now(), self._options.schedule
        if not self._options.is_monitored:
            return first_status(schedule, now), False
        stored, known = await self._patience.run(parts.store.read), self._status
        if known is not None and (stored is None or stored.last_updated < known.last_updated):
            status = known  # storage was away when it should have been written
        else:
            status = first_status(schedule, now) if stored is None else reviewed(stored, schedule, now)
        if status != stored:
            await self._keep(parts, status)
        return status, now > status.next

    async def _is_due(self, parts: _Parts, status: ScheduleStatus) -> bool:
        """Wait for the next due time; False if the lock was lost or the listener stops."""
        sleep = asyncio.ensure_future(self._clock.sleep_until(status.next))
        lost = asyncio.ensure_future(parts.lock.lost.wait())
        try:
            await asyncio.wait([sleep, lost], return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleep.cancel()
            lost.cancel()
        return parts.lock.is_held and not parts.lock.lost.is_set() and not parts.stopping.is_set()

    async def _fire(
        self, parts: _Parts, status: ScheduleStatus, *, is_past_due: bool = False, is_scheduled: bool = False
    ) -> ScheduleStatus:
        """Run the function once, whatever comes of it; the status after that."""
        began = self._clock.now()
        parts.idle.clear()
        try:
            await self._deliver(parts, self._event(status, is_past_due=is_past_due))
            if is_scheduled:
                began = max(began, status.next)
            following = ScheduleStatus(began, self._options.schedule.next_after(began), began)
            if self._options.is_monitored:
                await self._keep(parts, following)
        finally:
            parts.idle.set()
        return following

    async def _deliver(self, parts: _Parts, event: Event) -> None:
        try:
            await parts.deliver(event)
        except InvocationFailed:
            pass  # it is logged; the schedule goes on
        except Exception:
            _log.exception("function `%s`: a run failed inside fnpack; this is a bug", self.function)

    async def _keep(self, parts: _Parts, status: ScheduleStatus) -> None:
        self._status = status
        if not parts.lock.is_held:
            return  # another host may be writing; should this one go on, it still knows
        try:
            await parts.store.write(status, self._options.zone)
        except (StorageRefused, StorageUnavailable) as exc:
            self._patience.lost(exc)

    def _event(self, status: ScheduleStatus | None, *, is_past_due: bool) -> Event:
        told = status if self._options.is_monitored else None
        info: dict[str, Json] = {
            "Schedule": {"AdjustForDST": True},
            "ScheduleStatus": told.as_json(self._options.zone) if told else None,
            "IsPastDue": is_past_due,
        }
        now = self._clock.now().astimezone(self._options.zone).isoformat()
        source = f"timer at {now}{' (past due)' if is_past_due else ''}"
        return Event(json.dumps(info).encode(), {"TimerTrigger": now}, source)
