"""A development Service Bus in a thread, and the real SDK's clients on it. Links are opened once per module.

Opening a link costs the SDK half a second, so tests share links and settle all that they receive.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from tests.packager.devbus.raw_client import QUEUE, Client

from fnpack.devbus.entities.settings import QueueSettings
from fnpack.devbus.thread import DevBusThread

if TYPE_CHECKING:
    from azure.servicebus import (
        ServiceBusClient,
        ServiceBusReceivedMessage,
        ServiceBusReceiver,
        ServiceBusSender,
    )

WAIT_S = 15.0


def connect(connection_string: str) -> ServiceBusClient:
    """A client that does not retry, so that a test sees the first failure, and never waits without end."""
    from azure.servicebus import ServiceBusClient

    return ServiceBusClient.from_connection_string(connection_string, retry_total=0, try_timeout=10)


class Links:
    """The SDK's senders and receivers on one bus, each opened at first use."""

    def __init__(self, bus: DevBusThread) -> None:
        self.bus = bus
        self.client = connect(bus.connection_string)
        self._open: dict[object, Any] = {}

    def sender(self, name: str, *, topic: bool = False) -> ServiceBusSender:
        make = self.client.get_topic_sender if topic else self.client.get_queue_sender
        return self._once(("sender", name), lambda: make(name))

    def receiver(self, name: str, subscription: str | None = None, **options: Any) -> ServiceBusReceiver:
        def make() -> object:
            if subscription is not None:
                return self.client.get_subscription_receiver(
                    name, subscription, max_wait_time=WAIT_S, **options
                )
            return self.client.get_queue_receiver(name, max_wait_time=WAIT_S, **options)

        key = ("receiver", name, subscription, *sorted(options.items()))
        return self._once(key, make)

    def dead_letters(self, name: str, subscription: str | None = None) -> ServiceBusReceiver:
        return self.receiver(name, subscription, sub_queue="deadletter")

    def receive(
        self, name: str, subscription: str | None = None, **options: Any
    ) -> ServiceBusReceivedMessage:
        """One message; fails if none comes."""
        return one(self.receiver(name, subscription, **options))

    def close(self) -> None:
        """Close all at once: each takes the SDK half a second."""
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda link: link.close(), self._open.values()))
        self.client.close()

    def _once(self, key: object, make: Callable[[], Any]) -> Any:
        if key not in self._open:
            self._open[key] = make().__enter__()
        return self._open[key]


def one(receiver: ServiceBusReceiver) -> ServiceBusReceivedMessage:
    (message,) = receiver.receive_messages(1, max_wait_time=WAIT_S)
    return message


@pytest.fixture(scope="module")
def bus() -> Iterator[DevBusThread]:
    with DevBusThread() as running:
        yield running


@pytest.fixture(scope="module")
def links(bus: DevBusThread) -> Iterator[Links]:
    opened = Links(bus)
    yield opened
    opened.close()


@pytest.fixture
def name() -> str:
    """A name of the test's own, for an entity or a session."""
    return f"t-{uuid4().hex[:8]}"


@pytest.fixture(scope="session")
def receive_one() -> Callable[[ServiceBusReceiver], ServiceBusReceivedMessage]:
    return one


@pytest.fixture(scope="session")
def open_client() -> Callable[[str], ServiceBusClient]:
    return connect


@pytest.fixture(scope="session")
def now() -> Callable[[], datetime]:
    return lambda: datetime.now(timezone.utc)


@pytest.fixture(scope="module")
def queue(bus: DevBusThread) -> None:
    """The queue that raw clients attach to."""
    bus.ensure_queue(QUEUE, QueueSettings(lock_ms=600_000))


@pytest.fixture
def connected(bus: DevBusThread) -> Iterator[Client]:
    """A raw client."""
    client = Client(bus.port)
    yield client
    client.socket.close()
