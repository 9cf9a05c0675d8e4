"""One link to one entity: receive, renew and settle, or send. Each is used by one task at a time; no policy.

The library's calls read the connection themselves, so that two at once wait for each other's answers.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from azure.servicebus import NEXT_AVAILABLE_SESSION, ServiceBusSubQueue, TransportType
from azure.servicebus.aio import ServiceBusClient

from fnpack_triggers.identity import AsyncCredential
from fnpack_triggers.service_bus.connection import BusConnection
from fnpack_triggers.service_bus.deadline import within
from fnpack_triggers.service_bus.entity import Entity
from fnpack_triggers.service_bus.faults import (
    BusUnavailable,
    LockLost,
    NoSession,
    is_closed,
    is_no_session,
    translated,
)
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
        self._credential = None if connection.sign_in is None else AsyncCredential(connection.sign_in)
        self._client = _client(connection, self._credential, options)

    async def _bounded(self, call: Awaitable[_T], operation: str, timeout_s: float | None = None) -> _T:
        """The result of a call that ends in time, even where the library keeps no deadline."""
        with translated(f"{operation} {self._entity}", self._connection.namespace):
            return await within(timeout_s or self._options.try_timeout_s + 1, call)

    async def _close(self, handler: ServiceBusReceiver | ServiceBusSender) -> None:
        with suppress(Exception):  # of a lost connection nothing is left to be closed
            await asyncio.wait_for(handler.close(), _CLOSE_S)
        with suppress(Exception):
            await asyncio.wait_for(self._client.close(), _CLOSE_S)
        if self._credential is not None:
            with suppress(Exception):
                await self._credential.close()


def _client(
    connection: BusConnection, credential: AsyncCredential | None, options: BusOptions
) -> ServiceBusClient:
    transport = TransportType.AmqpOverWebsocket if options.is_web_sockets else TransportType.Amqp
    # Without try_timeout the library waits for ever for a broker that does not answer.
    given: dict[str, Any] = {
        "retry_total": 0,
        "try_timeout": options.try_timeout_s,
        "transport_type": transport,
    }
    if (proxy := options.proxy) is not None:
        given["http_proxy"] = {"proxy_hostname": proxy.address, "proxy_port": proxy.port}
        if proxy.user:
            given["http_proxy"] |= {"username": proxy.user, "password": proxy.password}
    if credential is not None:
        return ServiceBusClient(connection.namespace, credential, **given)
    return ServiceBusClient.from_connection_string(connection.text, **given)


class ReceivingLink(_Link):
    """Takes messages of a queue or subscription, or of one session of it, under a lock (peek-lock).

    Every call may raise BusUnavailable or BusRefused, and LockLost when the session is lost; after that the link is of
    no more use than to be closed.
    """

    def __init__(
        self,
        connection: BusConnection,
        entity: Entity,
        options: BusOptions,
        *,
        prefetch_count: int = 0,
        session_wait_s: float | None = None,
    ) -> None:
        """With `session_wait_s`, hold the next session that is free; give up after so long."""
        if session_wait_s is not None:  # the wait takes nothing from the time to connect
            options = replace(options, try_timeout_s=options.try_timeout_s + session_wait_s)
        super().__init__(connection, entity, options)
        given: dict[str, Any] = {
            "sub_queue": ServiceBusSubQueue.DEAD_LETTER if entity.is_dead_letters else None,
            "prefetch_count": prefetch_count,
            "socket_timeout": None if options.is_web_sockets else _READ_S,
        }
        self.has_session = session_wait_s is not None
        if self.has_session:
            given |= {"session_id": NEXT_AVAILABLE_SESSION, "max_wait_time": session_wait_s}
        self._receiver: ServiceBusReceiver
        if entity.subscription:
            self._receiver = self._client.get_subscription_receiver(entity.name, entity.subscription, **given)
        else:
            self._receiver = self._client.get_queue_receiver(entity.name, **given)

    @property
    def session_locked_until(self) -> datetime | None:
        """When the lock of the session ends."""
        return self._receiver.session.locked_until_utc if self.has_session else None

    async def _bounded(self, call: Awaitable[_T], operation: str, timeout_s: float | None = None) -> _T:
        try:
            return await super()._bounded(call, operation, timeout_s)
        except BusUnavailable as exc:
            if self.has_session and is_closed(exc):
                raise LockLost("its session was lost") from exc
            raise

    async def open(self) -> None:
        """Connect. Raises EntityAbsent, and NoSession when none was free."""
        try:
            await self._bounded(self._receiver.__aenter__(), "receive from")
        except BusUnavailable as exc:
            if self.has_session and is_no_session(exc):
                raise NoSession from exc
            raise

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

    async def renew_session(self) -> None:
        """Extend the lock of the session. Raises LockLost."""
        await self._bounded(self._receiver.session.renew_lock(), "renew the lock of a session of")

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
