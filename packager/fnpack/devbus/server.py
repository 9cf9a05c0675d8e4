"""Starts and stops the development Service Bus. It listens on the loopback only and takes every token."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from fnpack.devbus.entities.intake import Clock
from fnpack.devbus.entities.journal import Journal, NoJournal
from fnpack.devbus.entities.namespace import Namespace
from fnpack.devbus.entities.queue import MessageQueue
from fnpack.devbus.entities.settings import QueueSettings, TopicSettings
from fnpack.devbus.entities.topic import Subscription, Topic
from fnpack.devbus.wire.broker import Broker, Faults, Limits, now_ms
from fnpack.devbus.wire.connection import Connection

if TYPE_CHECKING:
    from fnpack.devbus.config import BusConfig

LOOPBACK = "127.0.0.1"


def connection_string(port: int) -> str:
    """What a client needs to connect; the key is no secret, every key is taken."""
    return (
        f"Endpoint=sb://{LOOPBACK}:{port};SharedAccessKeyName=RootManageSharedAccessKey;"
        "SharedAccessKey=SAS_KEY_VALUE;UseDevelopmentEmulator=true;"
    )


class DevBus:
    """A development Service Bus in the running event loop. All methods must be called there.

    `store`: a file that keeps messages over restarts. `clock`: milliseconds since 1970.
    """

    def __init__(
        self, *, store: Path | None = None, limits: Limits | None = None, clock: Clock = now_ms
    ) -> None:
        self._store = store
        self._limits = limits or Limits()
        self._clock = clock
        self._server: asyncio.Server | None = None
        self._broker: Broker | None = None

    async def start(self, port: int = 0) -> str:
        """Listen on the loopback, on any free port for 0. Gives the connection string. Raises OSError."""
        loop = asyncio.get_running_loop()
        namespace = Namespace(self._clock, _journal(self._store))
        broker = self._broker = Broker(namespace, self._limits)
        try:
            self._server = await loop.create_server(lambda: Connection(broker), LOOPBACK, port)
        except OSError:
            await self.stop()
            raise
        return self.connection_string

    async def stop(self) -> None:
        """Stop listening, close all connections, and close the store."""
        if self._server is not None:
            self._server.close()
            for connection in list(self.broker.connections):
                connection.close("amqp:connection:forced", "the development Service Bus stops")
            await asyncio.sleep(0)
            self.drop_connections()
            await self._server.wait_closed()
            self._server = None
        if self._broker is not None:
            self._broker.stop()
            self._broker.commit()
            self._broker.namespace.journal.close()
            self._broker = None

    @property
    def broker(self) -> Broker:
        """What connections share."""
        if self._broker is None:
            raise RuntimeError("the development Service Bus is not running")
        return self._broker

    @property
    def port(self) -> int:
        """The port that it listens on."""
        if self._server is None:
            raise RuntimeError("the development Service Bus is not running")
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    @property
    def connection_string(self) -> str:
        """What a client needs to connect."""
        return connection_string(self.port)

    # -- entities ----------------------------------------------------------------------------------

    def apply(self, config: BusConfig) -> None:
        """Make the entities of a configuration."""
        for name, queue in config.queues.items():
            self.ensure_queue(name, queue)
        for topic in config.topics:
            self.ensure_topic(topic.name, topic.settings)
            for subscription in topic.subscriptions:
                made = self.ensure_subscription(topic.name, subscription.name, subscription.settings)
                if subscription.rules:
                    made.rules = {rule.name: rule for rule in subscription.rules}

    def ensure_queue(self, name: str, settings: QueueSettings | None = None) -> MessageQueue:
        """The queue of that name, made if need be; an existing one keeps its settings. Raises BusError."""
        return self.broker.namespace.ensure_queue(name, settings)

    def ensure_topic(self, name: str, settings: TopicSettings | None = None) -> Topic:
        """The topic of that name, made if need be; an existing one keeps its settings. Raises BusError."""
        return self.broker.namespace.ensure_topic(name, settings)

    def ensure_subscription(
        self, topic: str, name: str, settings: QueueSettings | None = None
    ) -> Subscription:
        """The subscription of that name, made if need be, with its topic. Raises BusError."""
        return self.broker.namespace.ensure_subscription(topic, name, settings)

    # -- faults ------------------------------------------------------------------------------------

    @property
    def faults(self) -> Faults:
        """What goes wrong on purpose."""
        return self.broker.faults

    def drop_connections(self) -> int:
        """Cut every connection without a word: how many."""
        found = list(self.broker.connections)
        for connection in found:
            connection.drop()
        return len(found)

    def lose_locks(self, address: str, sequences: Iterable[int] | None = None) -> int:
        """End locks of messages in a queue (or subscription, or sub-queue) as if they had expired: how many."""
        return self.broker.namespace.receivable(address).lose_locks(sequences)

    def lose_session(self, address: str, session_id: str) -> None:
        """End the lock of a session as if it had expired."""
        self.broker.namespace.receivable(address).lose_session(session_id)


def _journal(store: Path | None) -> Journal:
    if store is None:
        return NoJournal()
    from fnpack.devbus.persistence import SqliteJournal

    return SqliteJournal(store)
