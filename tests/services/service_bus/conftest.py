"""One Service Bus for the contract: the embedded one, or the one that FNPACK_TEST_SERVICEBUS_CONNECTION opens.

That may be the official emulator with docker/servicebus/Config.json, or a namespace on Azure for which
scripts/service_bus_entities.py has made the same entities. The tests are written so that all three pass: no entity is
believed to be empty, every test finds its own messages by their correlation id, few links are open at a time, and what
takes time is waited for.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from azure.servicebus import (
    ServiceBusClient,
    ServiceBusMessage,
    ServiceBusReceivedMessage,
    ServiceBusReceiver,
    ServiceBusSender,
)

from fnpack.devbus import DevBusThread
from fnpack.devbus.config import read_config

SETTING = "FNPACK_TEST_SERVICEBUS_CONNECTION"
WAIT_S = 30.0
QUEUE, OUTPUT, SESSIONS, TOPIC = "contract", "contract-output", "contract-sessions", "contract-topic"


class Bus:
    """The library's links to one namespace, each opened at first use, and one test's messages among all others."""

    def __init__(self, connection_string: str) -> None:
        self.connection_string = connection_string
        self.client = ServiceBusClient.from_connection_string(
            connection_string, retry_total=0, try_timeout=20
        )
        self._open: dict[object, Any] = {}
        self.tag = ""

    def sender(self, name: str = QUEUE, *, topic: bool = False) -> ServiceBusSender:
        make = self.client.get_topic_sender if topic else self.client.get_queue_sender
        return self._once(("sender", name), lambda: make(name))

    def receiver(self, name: str = QUEUE, subscription: str = "", **options: Any) -> ServiceBusReceiver:
        def make() -> object:
            if subscription:
                return self.client.get_subscription_receiver(name, subscription, **options)
            return self.client.get_queue_receiver(name, **options)

        return self._once(("receiver", name, subscription, *sorted(options.items())), make)

    def send(self, *bodies: str | bytes, to: str = QUEUE, topic: bool = False, **properties: Any) -> None:
        """Send messages of this test."""
        messages = [ServiceBusMessage(body, correlation_id=self.tag, **properties) for body in bodies]
        self.sender(to, topic=topic).send_messages(messages)

    def receive(self, count: int = 1, **where: Any) -> list[ServiceBusReceivedMessage]:
        """So many messages of this test; what others left is completed."""
        link = self.receiver(**where)
        found: list[ServiceBusReceivedMessage] = []
        deadline = time.monotonic() + WAIT_S
        while len(found) < count:
            assert time.monotonic() < deadline, f"{len(found)} of {count} messages came within {WAIT_S:g} s"
            for message in link.receive_messages(count - len(found), max_wait_time=5):
                if message.correlation_id == self.tag:
                    found.append(message)
                else:
                    link.complete_message(message)
        return found

    def peek(self, name: str = QUEUE) -> list[str]:
        """The bodies of this test's messages in a queue, locked ones too."""
        found = self.receiver(name).peek_messages(100, sequence_number=1)
        return [str(message) for message in found if message.correlation_id == self.tag]

    def close(self) -> None:
        """Close all at once: each takes the library half a second."""
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda link: link.close(), self._open.values()))
        self._open.clear()
        self.client.close()

    def _once(self, key: object, make: Callable[[], Any]) -> Any:
        if key not in self._open:
            self._open[key] = make().__enter__()
        return self._open[key]


@pytest.fixture(scope="session")
def connection_string() -> Iterator[str]:
    """Where the contract is tested. A namespace outside is used by one process at a time."""
    if given := os.environ.get(SETTING):
        with (Path(tempfile.gettempdir()) / f"fnpack-service-bus-{os.getuid()}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield given
        return
    with DevBusThread() as running:
        config = read_config(Path(__file__).parents[3] / "docker" / "servicebus" / "Config.json")
        running.call(lambda service: service.apply(config))
        yield running.connection_string


@pytest.fixture(scope="module")
def namespace(connection_string: str) -> Iterator[Bus]:
    opened = Bus(connection_string)
    yield opened
    opened.close()


@pytest.fixture
def bus(namespace: Bus) -> Bus:
    """The namespace with a tag of the test's own."""
    namespace.tag = f"t-{uuid4().hex[:12]}"
    return namespace
