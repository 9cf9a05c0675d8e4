"""The Service Bus trigger: receives messages under a lock, runs the function, and completes or gives them back."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from datetime import datetime, timezone

from fnpack_triggers.base import Deliver, Event
from fnpack_triggers.errors import ConnectionSettingError, ServiceError
from fnpack_triggers.json_data import with_json_properties
from fnpack_triggers.service_bus.connection import BusConnection
from fnpack_triggers.service_bus.entity import Entity
from fnpack_triggers.service_bus.faults import BusRefused, BusUnavailable, EntityAbsent
from fnpack_triggers.service_bus.lane import Lane
from fnpack_triggers.service_bus.link import ReceivingLink
from fnpack_triggers.service_bus.options import BusOptions

_log = logging.getLogger("fnpack.triggers.service_bus")
_START_PATIENCE_S = 30.0
_GIVE_BACK_S = 5.0


class ServiceBusTrigger:
    """The listener of one function that messages start.

    Listeners of one entity, in any process or machine, share its messages; the broker keeps them apart.
    """

    def __init__(
        self, function: str, entity: Entity, connection: BusConnection, options: BusOptions | None = None
    ) -> None:
        self.function, self.entity = function, entity
        self._connection, self._options = connection, options or BusOptions()
        self._lane = Lane(function, entity.path, self._connect, self._options)
        self._task: asyncio.Task[None] | None = None
        self._deliver: Deliver | None = None

    async def start(self, deliver: Deliver) -> None:
        """Connect a first time, and begin. An entity that does not exist yet is waited for.

        Raises ConnectionSettingError when the namespace refuses the key, and ServiceError when it does not answer
        within 30 seconds.
        """
        self._deliver = deliver
        try:
            link: ReceivingLink | None = await self._connect_at_start()
        except EntityAbsent as exc:
            self._lane.lost(exc)
            link = None
        self._task = asyncio.create_task(
            self._lane.run(deliver, link), name=f"fnpack-service-bus-{self.function}"
        )

    async def stop(self, grace_s: float = 25.0) -> None:
        """Take nothing new, let messages in flight finish for `grace_s`, give the others back at once."""
        task, self._task = self._task, None
        if task is None:
            return
        self._lane.finish()
        await asyncio.wait([task], timeout=grace_s)
        if unfinished := self._lane.cancel_runs():
            _log.warning("function `%s`: %d messages given back unfinished", self.function, unfinished)
        if not task.done():
            await asyncio.wait([task], timeout=_GIVE_BACK_S)
            task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def start_by_hand(self, text: str) -> None:
        """Run the function for `text` as if it were a message. Raises InvocationFailed."""
        assert self._deliver is not None
        name, now = str(uuid.uuid4()), datetime.now(timezone.utc).isoformat()
        data = with_json_properties(
            {
                "MessageId": name,
                "SequenceNumber": 0,
                "EnqueuedTimeUtc": now,
                "DeliveryCount": 1,
                "ApplicationProperties": {},
                "UserProperties": {},
            },
            text,
        )
        await self._deliver(Event(text.encode(), data, f"{self.entity.path}/{name}"))

    async def _connect(self) -> ReceivingLink:
        link = ReceivingLink(self._connection, self.entity, self._options)
        try:
            await link.open()
        except BaseException:
            await link.close()
            raise
        return link

    async def _connect_at_start(self) -> ReceivingLink:
        deadline, delay_s = time.monotonic() + _START_PATIENCE_S, 0.2
        setting = self._connection.setting
        while True:
            left_s = deadline - time.monotonic()
            try:
                return await asyncio.wait_for(self._connect(), max(left_s, 1.0))
            except EntityAbsent:
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
