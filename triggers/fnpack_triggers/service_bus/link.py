"""One link to one entity: receive, renew and settle, or send. Each is used by one task at a time; no policy.

The library's calls read the connection themselves, so that two at once wait for each other's answers.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from azure.servicebus import ServiceBusSubQueue, TransportType
from azure.servicebus.aio import ServiceBusClient

from fnpack_triggers.service_bus.connection import BusConnection
from fnpack_triggers.service_bus.entity import Entity
from fnpack_triggers.service_bus.faults import translated
from fnpack_triggers.service_bus.options import BusOptions

if TYPE_CHECKING:
    from azure.servicebus import ServiceBusMessage, ServiceBusReceivedMessage
    from azure.servicebus.aio import ServiceBusReceiver, ServiceBusSender

_T = TypeVar("_T")
_READ_S = 0.02  # how long a read of the connection waits, so how exactly a receive keeps its time
_CLOSE_S = 5.0

# It warns of every try and of every lost connection; what counts of that is said once, by Outage.
logging.getLogger("azure.servicebus").setLevel(logging.CRITICAL)


class _Link:
    def __init__(self, connection: BusConnection, entity: Entity, options: BusOptions) -> None:
        self._connection, self._entity, self._options = connection, entity, options
        transport = TransportType.AmqpOverWebsocket if options.is_web_sockets else TransportType.Amqp
        # Without try_timeout the library waits for ever for a broker that does not answer.
        self._client = ServiceBusClient.from_connection_string(
            connection.text, retry_total=0, try_timeout=options.try_timeout_s, transport_type=transport
        )

    async def _bounded(self, call: Awaitable[_T], operation: str, timeout_s: float | None = None) -> _T:
        """The result of a call that ends in time, even where the library keeps no deadline."""
        with translated(f"{operation} {self._entity}", self._connection.namespace):
            task = asyncio.ensure_future(call)
            task.add_done_callback(_note_failure)
            return await asyncio.wait_for(task, timeout_s or self._options.try_timeout_s + 1)

    async def _close(self, handler: ServiceBusReceiver | ServiceBusSender) -> None:
        with suppress(Exception):  # of a lost connection nothing is left to be closed
            await asyncio.wait_for(handler.close(), _CLOSE_S)
        with suppress(Exception):
            await asyncio.wait_for(self._client.close(), _CLOSE_S)


def _note_failure(task: asyncio.Future[_T]) -> None:
    """A call that fails after it was given up has nobody else to look at its exception."""
    if not task.cancelled():
        task.exception()


class ReceivingLink(_Link):
    """Takes messages of a queue or subscription under a lock (peek-lock).

    Every call may raise BusUnavailable or BusRefused; after that the link is of no more use than to be closed.
    """

    def __init__(self, connection: BusConnection, entity: Entity, options: BusOptions) -> None:
        super().__init__(connection, entity, options)
        dead = ServiceBusSubQueue.DEAD_LETTER if entity.is_dead_letters else None
        read_s = None if options.is_web_sockets else _READ_S
        self._receiver: ServiceBusReceiver
        if entity.subscription:
            self._receiver = self._client.get_subscription_receiver(
                entity.name,
                entity.subscription,
                sub_queue=dead,
                prefetch_count=options.prefetch_count,
                socket_timeout=read_s,
            )
        else:
            self._receiver = self._client.get_queue_receiver(
                entity.name, sub_queue=dead, prefetch_count=options.prefetch_count, socket_timeout=read_s
            )

    async def open(self) -> None:
        """Connect. Raises EntityAbsent."""
        await self._bounded(self._receiver.__aenter__(), "receive from")

    async def receive(self, count: int, wait_s: float) -> list[ServiceBusReceivedMessage]:
        """Up to `count` messages that come within `wait_s`; with a count of 1 it returns with the first."""
        return await self._bounded(
            self._receiver.receive_messages(count, max_wait_time=wait_s),
            "receive from",
            wait_s + self._options.try_timeout_s,
        )

    async def complete(self, message: ServiceBusReceivedMessage) -> None:
        """Take `message` off the entity. Raises LockLost."""
        await self._bounded(self._receiver.complete_message(message), "complete a message of")

    async def abandon(self, message: ServiceBusReceivedMessage) -> None:
        """Give `message` back; the broker counts the delivery. Raises LockLost."""
        await self._bounded(self._receiver.abandon_message(message), "give a message back to")

    async def renew(self, message: ServiceBusReceivedMessage) -> None:
        """Extend the lock of `message`. Raises LockLost."""
        await self._bounded(self._receiver.renew_message_lock(message), "renew the lock of a message of")

    async def close(self) -> None:
        """Give back what was fetched ahead, and disconnect. Never raises."""
        await self._close(self._receiver)


class SendingLink(_Link):
    """Sends messages to a queue or topic; calls raise as those of ReceivingLink."""

    def __init__(self, connection: BusConnection, entity: Entity, options: BusOptions) -> None:
        super().__init__(connection, entity, options)
        get = self._client.get_topic_sender if entity.is_topic else self._client.get_queue_sender
        self._sender: ServiceBusSender = get(entity.name)

    async def open(self) -> None:
        """Connect. Raises EntityAbsent."""
        await self._bounded(self._sender.__aenter__(), "send to")

    async def send(self, messages: Sequence[ServiceBusMessage]) -> None:
        """Send `messages` at once: all of them or none."""
        content = messages[0] if len(messages) == 1 else list(messages)
        await self._bounded(self._sender.send_messages(content), "send to")

    async def close(self) -> None:
        """Disconnect. Never raises."""
        await self._close(self._sender)
