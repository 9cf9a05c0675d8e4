"""The Service Bus trigger: receives messages under a lock, runs the function, and completes or gives them back."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from datetime import datetime, timezone

from fnpack_triggers.base import Deliver, Event, Json
from fnpack_triggers.errors import ConnectionSettingError, ServiceError
from fnpack_triggers.json_data import with_json_properties
from fnpack_triggers.service_bus.batch_lane import BatchLane
from fnpack_triggers.service_bus.connection import BusConnection
from fnpack_triggers.service_bus.entity import Entity
from fnpack_triggers.service_bus.faults import (
    BusRefused,
    BusUnavailable,
    EntityAbsent,
    NoSession,
    Outage,
    SessionMismatch,
)
from fnpack_triggers.service_bus.lane import Lane, Source
from fnpack_triggers.service_bus.link import ReceivingLink
from fnpack_triggers.service_bus.message_lane import MessageLane
from fnpack_triggers.service_bus.options import BusOptions
from fnpack_triggers.service_bus.runs import Runs

_log = logging.getLogger("fnpack.triggers.service_bus")
_START_PATIENCE_S = 30.0
_GIVE_BACK_S = 5.0
_MAX_SESSION_WAIT_S = 30.0
_FIRST_SESSION_WAIT_S = 1.0  # the start is not held up by sessions that do not come


class ServiceBusTrigger:
    """The listener of one function that messages start, each by itself or, with `is_batch`, many together.

    Listeners of one entity, in any process or machine, share its messages, or with `has_sessions` its sessions; the
    broker keeps them apart.
    """

    def __init__(
        self,
        function: str,
        entity: Entity,
        connection: BusConnection,
        options: BusOptions | None = None,
        *,
        is_batch: bool = False,
        has_sessions: bool = False,
    ) -> None:
        self.function, self.entity = function, entity
        self.is_batch, self.has_sessions = is_batch, has_sessions
        self._connection, self.options = connection, options or BusOptions()
        self._outage = Outage(f"`{entity.path}`")
        self._lanes = self._make_lanes()
        self._tasks: list[asyncio.Task[None]] = []
        self._deliver: Deliver | None = None

    async def start(self, deliver: Deliver) -> None:
        """Connect a first time, and begin. An entity that does not exist yet is waited for.

        Raises ConnectionSettingError when the namespace refuses the key, SessionMismatch when the entity has sessions
        and the binding does not say so (or the reverse), and ServiceError when it does not answer within 30 seconds.
        """
        self._deliver = deliver
        link: ReceivingLink | None = None
        try:
            link = await self._connect_at_start()
        except EntityAbsent as exc:
            self._outage.lost(exc)
        except NoSession:
            pass
        for number, lane in enumerate(self._lanes):
            run = lane.run(deliver, link if number == 0 else None)
            self._tasks.append(asyncio.create_task(run, name=f"fnpack-service-bus-{self.function}-{number}"))

    async def stop(self, grace_s: float = 25.0) -> None:
        """Take nothing new, let messages in flight finish for `grace_s`, give the others back at once."""
        tasks, self._tasks = self._tasks, []
        if not tasks:
            return
        for lane in self._lanes:
            lane.finish()
        await asyncio.wait(tasks, timeout=grace_s)
        if unfinished := sum(lane.cancel_runs() for lane in self._lanes):
            _log.warning("function `%s`: %d messages given back unfinished", self.function, unfinished)
        await asyncio.wait(tasks, timeout=_GIVE_BACK_S)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def start_by_hand(self, text: str) -> None:
        """Run the function for `text` as if it were a message. Raises InvocationFailed."""
        assert self._deliver is not None
        name, now = str(uuid.uuid4()), datetime.now(timezone.utc).isoformat()
        own: dict[str, Json] = {
            "MessageId": name,
            "SequenceNumber": 0,
            "EnqueuedTimeUtc": now,
            "DeliveryCount": 1,
            "ApplicationProperties": {},
            "UserProperties": {},
        }
        source = f"{self.entity.path}/{name}"
        if self.is_batch:
            arrays: dict[str, Json] = {f"{key}Array": [value] for key, value in own.items()}
            await self._deliver(Event(b"", arrays, source, items=(text.encode(),)))
        else:
            await self._deliver(Event(text.encode(), with_json_properties(own, text), source))

    def _make_lanes(self) -> list[Lane]:
        options = self.options
        runs = Runs(remembers=options.is_auto_complete)
        source = Source(self.function, self.entity.path, self._connect, options, runs, self._outage)
        if self.is_batch:
            return [BatchLane(source)]
        if self.has_sessions:
            return [MessageLane(source, options.max_calls_per_session) for _ in range(options.max_sessions)]
        return [MessageLane(source, options.max_concurrent_calls)]

    @property
    def _prefetch_count(self) -> int:
        """Nothing where the order within a session counts: what was fetched would overtake a message that fails."""
        is_ordered = self.has_sessions and (self.is_batch or self.options.max_calls_per_session == 1)
        return 0 if is_ordered else self.options.prefetch_count

    async def _connect(self, session_wait_s: float | None = None) -> ReceivingLink:
        if self.has_sessions and session_wait_s is None:
            session_wait_s = min(self.options.try_timeout_s, _MAX_SESSION_WAIT_S)
        link = ReceivingLink(
            self._connection,
            self.entity,
            self.options,
            prefetch_count=self._prefetch_count,
            session_wait_s=session_wait_s,
        )
        try:
            await link.open()
        except BaseException:
            await link.close()
            raise
        return link

    async def _connect_at_start(self) -> ReceivingLink:
        deadline, delay_s = time.monotonic() + _START_PATIENCE_S, 0.2
        setting, wait_s = self._connection.setting, _FIRST_SESSION_WAIT_S if self.has_sessions else None
        while True:
            left_s = deadline - time.monotonic()
            try:
                return await asyncio.wait_for(self._connect(wait_s), max(left_s, 1.0))
            except (EntityAbsent, SessionMismatch):
                raise
            except BusRefused as exc:
                raise ConnectionSettingError(
                    f"the connection setting `{setting}` does not work: {exc}", hint=exc.hint
                ) from exc
            except (BusUnavailable, asyncio.TimeoutError) as exc:
                if time.monotonic() + delay_s >= deadline:
                    namespace = self._connection.namespace
                    raise ServiceError(
                        f"Service Bus namespace `{namespace}` does not answer (connection setting `{setting}`)",
                        hint="check the namespace's name and the network",
                    ) from exc
            await asyncio.sleep(delay_s)
            delay_s = min(delay_s * 2, 5.0)
