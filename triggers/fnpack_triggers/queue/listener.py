"""The queue trigger: takes messages in batches, keeps them from other hosts while they run, and settles them."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from fnpack_triggers.base import Deliver
from fnpack_triggers.blob.faults import Patience, StorageRefused, StorageUnavailable, at_start
from fnpack_triggers.connections import StorageConnection
from fnpack_triggers.errors import ConnectionSettingError
from fnpack_triggers.queue.channel import Message, NotOursError, QueueAbsentError, QueueChannel
from fnpack_triggers.queue.event import event_of
from fnpack_triggers.queue.names import check_queue_name, poison_queue_of
from fnpack_triggers.queue.options import QueueOptions
from fnpack_triggers.queue.polling import Backoff
from fnpack_triggers.queue.runs import QueueRuns

_log = logging.getLogger("fnpack.triggers.queue")
_START_PATIENCE_S = 30.0
_GIVE_BACK_S = 5.0


@dataclass(slots=True)
class _InFlight:
    message: Message
    renewed_at: float
    held_s: float  # since then
    is_lost: bool = False


class QueueTrigger:
    """The listener of one queue-triggered function. Raises BindingError when `queue` is no queue's name.

    Listeners of one queue, in any process or machine, share its messages; the service keeps them apart.
    """

    def __init__(
        self, function: str, queue: str, connection: StorageConnection, options: QueueOptions | None = None
    ) -> None:
        self.queue = check_queue_name(queue)
        self.function = function
        self._connection = connection
        self._options = options or QueueOptions()
        self._patience = Patience(connection.account)
        self._resources = AsyncExitStack()
        self._stopping = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []  # polling and renewal
        self._in_flight: dict[asyncio.Task[None], _InFlight] = {}
        self._has_room = asyncio.Event()
        self._has_room.set()
        self._is_absent = False

    async def start(self, deliver: Deliver) -> None:
        """Receive a first time, and begin.

        Raises ConnectionSettingError when the account refuses the key or the connection has no queue endpoint,
        and ServiceError when it does not answer within 30 seconds.
        """
        try:
            first = await self._open(deliver)
        except BaseException:
            await self._resources.aclose()
            raise
        self._backoff = Backoff(self._connection.account, self.queue, self._options.max_polling_interval_s)
        self._tasks = [
            asyncio.create_task(self._poll(first), name=f"fnpack-queue-{self.function}"),
            asyncio.create_task(self._renew_forever(), name=f"fnpack-queue-renewal-{self.function}"),
        ]

    async def stop(self, grace_s: float = 25.0) -> None:
        """Take nothing new, let messages in flight finish for `grace_s`, make the others visible again at once."""
        if not self._tasks:
            return
        (polling, renewal), self._tasks = self._tasks, []
        self._stopping.set()
        self._has_room.set()
        self._backoff.interrupt()
        deadline = time.monotonic() + grace_s
        # A receive under way is not cancelled: messages in a lost answer would stay invisible for minutes.
        await asyncio.wait([polling], timeout=grace_s)
        polling.cancel()
        if self._in_flight:
            left_s = max(0.0, deadline - time.monotonic())
            _, unfinished = await asyncio.wait(list(self._in_flight), timeout=left_s)
            for task in unfinished:
                task.cancel()
            if unfinished:
                await asyncio.wait(unfinished, timeout=_GIVE_BACK_S)
                _log.warning(
                    "function `%s`: %d messages given back unfinished", self.function, len(unfinished)
                )
        renewal.cancel()
        await asyncio.gather(polling, renewal, return_exceptions=True)
        await self._resources.aclose()

    async def start_by_hand(self, text: str) -> None:
        """Run the function for `text` as if it were a message. Raises InvocationFailed."""
        now = datetime.now(timezone.utc)
        message = Message(str(uuid.uuid4()), text, "", 1, now, now + timedelta(days=7), now)
        await self._runs.deliver(event_of(message, text.encode(), self.queue))

    async def _open(self, deliver: Deliver) -> list[Message]:
        try:
            self._channel = await self._channel_of(self.queue)
            poison = poison_queue_of(self.queue)
            self._runs = QueueRuns(
                self.function,
                self._channel,
                await self._channel_of(poison) if poison else None,
                deliver,
                self._options,
                self._patience,
                self._stopping,
            )
        except ValueError as exc:
            raise ConnectionSettingError(
                f"the connection setting `{self._connection.setting}` has no queue endpoint",
                hint="add `QueueEndpoint=...`, or use the account's whole connection string",
            ) from exc
        try:
            return await self._patience.run(self._receive, limit_s=_START_PATIENCE_S)
        except (StorageRefused, StorageUnavailable) as exc:
            raise at_start(exc, self._connection.setting) from exc

    async def _channel_of(self, queue: str) -> QueueChannel:
        channel = QueueChannel(self._connection, queue)
        self._resources.push_async_callback(channel.close)
        return channel

    # --- taking messages ---

    async def _poll(self, messages: list[Message]) -> None:
        while not self._stopping.is_set():
            for message in messages:
                self._begin(message)
            if messages:
                self._backoff.found()
                await self._has_room.wait()
            else:
                await self._backoff.pause()
            if self._stopping.is_set():
                return
            try:
                messages = await self._receive_patiently()
            except Exception:
                _log.exception("function `%s`: receiving failed; trying again", self.function)
                messages = []
        await asyncio.gather(*(self._runs.give_back(message) for message in messages))

    async def _receive_patiently(self) -> list[Message]:
        """Like Patience.run, but it ends when the listener stops."""
        receiving = asyncio.ensure_future(self._patience.run(self._receive))
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait([receiving, stopping], return_when=asyncio.FIRST_COMPLETED)
            if not receiving.done() and self._patience.is_lost:
                receiving.cancel()
                return []
            return await receiving
        finally:
            stopping.cancel()

    async def _receive(self) -> list[Message]:
        try:
            messages = await self._channel.receive(self._options.batch_size, self._options.first_hold_s)
        except QueueAbsentError:
            self._note_absent()
            return []
        if self._is_absent:
            self._is_absent = False
            _log.warning("queue `%s` is there now", self.queue)
        return messages

    def _begin(self, message: Message) -> None:
        task = asyncio.create_task(self._runs.run(message), name=f"fnpack-queue {self.queue}/{message.id}")
        self._in_flight[task] = _InFlight(message, time.monotonic(), self._options.first_hold_s)
        self._note_room()
        task.add_done_callback(self._end)

    def _end(self, task: asyncio.Task[None]) -> None:
        flight = self._in_flight.pop(task)
        self._note_room()
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("settling message %s failed; it may run again", flight.message.id, exc_info=error)

    def _note_room(self) -> None:
        if len(self._in_flight) <= self._options.new_batch_threshold or self._stopping.is_set():
            self._has_room.set()
        else:
            self._has_room.clear()

    # --- keeping messages ---

    async def _renew_forever(self) -> None:
        while True:
            await asyncio.sleep(self._options.first_hold_s / 10)
            now = time.monotonic()
            due = [one for one in self._in_flight.values() if now - one.renewed_at >= one.held_s / 2]
            await asyncio.gather(*(self._renew(one) for one in due if not one.is_lost))

    async def _renew(self, flight: _InFlight) -> None:
        asked_at = time.monotonic()
        try:
            await self._channel.renew(flight.message, self._options.hold_s)
        except (NotOursError, QueueAbsentError):
            flight.is_lost = True  # or it is settled just now
            _log.info("message %s is no longer this host's", flight.message.id)
        except (StorageRefused, StorageUnavailable) as exc:
            self._patience.lost(exc)
        except Exception:
            _log.exception("message %s could not be renewed; trying again", flight.message.id)
        else:
            self._patience.recovered()
            flight.renewed_at, flight.held_s = asked_at, self._options.hold_s

    def _note_absent(self) -> None:
        if not self._is_absent:
            self._is_absent = True
            _log.warning(
                "function `%s`: queue `%s` of storage account `%s` does not exist; messages are run as soon as "
                "it is there",
                self.function,
                self.queue,
                self._connection.account,
            )
