"""Sends to one entity: one task owns the link, and what waits at the same time travels in one transfer."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fnpack_triggers.service_bus.connection import BusConnection
from fnpack_triggers.service_bus.entity import Entity
from fnpack_triggers.service_bus.faults import BusRefused, BusUnavailable, EntityAbsent, LockLost, Outage
from fnpack_triggers.service_bus.link import SendingLink
from fnpack_triggers.service_bus.options import BusOptions

if TYPE_CHECKING:
    from azure.servicebus import ServiceBusMessage

_MAX_MESSAGES = 100
_MANY, _LINGER_S = 16, 0.002
_MAX_BYTES = 128 * 1024  # well within the 256 KB of the tier Standard, as headers count too


@dataclass(slots=True)
class _Letter:
    message: ServiceBusMessage
    size_bytes: int
    sent: asyncio.Future[None]

    def settle(self, error: Exception | None = None) -> None:
        """Tell the sender, who may have gone."""
        if self.sent.done():
            return
        if error is None:
            self.sent.set_result(None)
        else:
            self.sent.set_exception(error)


class Outbox:
    """Messages on their way to one queue or topic."""

    def __init__(self, connection: BusConnection, entity: Entity, options: BusOptions) -> None:
        self._connection, self._entity, self._options = connection, entity, options
        self._outage = Outage(str(entity))
        self._letters: asyncio.Queue[_Letter] = asyncio.Queue()
        self._next: _Letter | None = None  # taken, but for the next transfer
        self._is_busy = False  # the last transfer had several: the next ones are worth a moment's wait
        self._link: SendingLink | None = None
        self._task: asyncio.Task[None] | None = None

    async def send(self, message: ServiceBusMessage, size_bytes: int) -> None:
        """Return when the broker has `message`. Raises BusUnavailable or BusRefused."""
        letter = _Letter(message, size_bytes, asyncio.get_running_loop().create_future())
        self._letters.put_nowait(letter)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._work(), name=f"fnpack-service-bus-to-{self._entity.path}")
        await letter.sent

    async def close(self) -> None:
        """Disconnect; what still waits is not sent."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        while not self._letters.empty():
            self._letters.get_nowait().settle(BusUnavailable("the host stops"))
        await self._disconnect()

    async def _work(self) -> None:
        while True:
            letters = await self._take()
            try:
                await self._deliver(letters)
            except BaseException:
                for letter in letters:
                    letter.settle(BusUnavailable("the host stops"))
                raise

    async def _take(self) -> list[_Letter]:
        """The next letters that may travel together: of one session, and not too much."""
        first, self._next = self._next or await self._letters.get(), None
        letters, total = [first], first.size_bytes
        if self._is_busy and self._letters.qsize() < _MANY:
            await asyncio.sleep(_LINGER_S)
        while len(letters) < _MAX_MESSAGES and not self._letters.empty():
            letter = self._letters.get_nowait()
            total += letter.size_bytes
            if total > _MAX_BYTES or letter.message.session_id != first.message.session_id:
                self._next = letter
                break
            letters.append(letter)
        self._is_busy = len(letters) > 1
        return letters

    async def _deliver(self, letters: list[_Letter]) -> None:
        try:
            await self._send_patiently(letters)
        except EntityAbsent as exc:
            _settle(letters, exc)
        except BusRefused as exc:
            if len(letters) == 1:
                _settle(letters, exc)
                return
            for letter in letters:  # one of them is at fault
                await self._deliver([letter])
        except Exception as exc:
            await self._disconnect()
            _settle(letters, exc)
        else:
            _settle(letters, None)

    async def _send_patiently(self, letters: list[_Letter]) -> None:
        delay_s, tries = self._options.delay_s, 0
        while True:
            try:
                if self._link is None:
                    self._link = await self._connect()
                await self._link.send([letter.message for letter in letters])
            except (BusUnavailable, BusRefused, LockLost) as exc:
                await self._disconnect()
                tries += 1
                if not isinstance(exc, BusUnavailable) or tries > self._options.max_retries + 1:
                    raise
                if tries == 1:
                    continue  # brokers end links on which nothing was sent for minutes
                self._outage.lost(exc)
            else:
                self._outage.recovered()
                return
            await asyncio.sleep(delay_s)
            delay_s = self._options.next_delay_s(delay_s)

    async def _connect(self) -> SendingLink:
        link = SendingLink(self._connection, self._entity, self._options)
        try:
            await link.open()
        except BaseException:
            await link.close()
            raise
        return link

    async def _disconnect(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            await link.close()


def _settle(letters: list[_Letter], error: Exception | None) -> None:
    for letter in letters:
        letter.settle(error)
