"""A development Service Bus per test module, senders and receivers of the real library, and a counting function."""

from __future__ import annotations

import asyncio
import gc
import inspect
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from azure.servicebus import ServiceBusClient, ServiceBusMessage

from fnpack.devbus import DevBusThread, QueueSettings
from fnpack_triggers.base import Event, InvocationFailed
from fnpack_triggers.service_bus.connection import BusConnection
from fnpack_triggers.service_bus.entity import Entity
from fnpack_triggers.service_bus.listener import ServiceBusTrigger
from fnpack_triggers.service_bus.options import BusOptions

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The library leaves the socket of a link whose opening was cancelled, by a stop, to the garbage collector."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.filterwarnings("ignore::ResourceWarning"))
            item.add_marker(pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"))


@pytest.fixture(scope="module", autouse=True)
def left_behind() -> Iterator[None]:
    """Collect that here, where it is expected, and not in the middle of another module's test."""
    yield
    gc.collect()


class Bus:
    """A running bus and short ways to use it from a test."""

    def __init__(self, running: DevBusThread) -> None:
        self.running = running

    @property
    def connection(self) -> BusConnection:
        return BusConnection.parse("TheBus", self.running.connection_string)

    def client(self) -> ServiceBusClient:
        return ServiceBusClient.from_connection_string(
            self.running.connection_string, retry_total=0, try_timeout=10
        )

    def queue(self, lock_ms: int = 5000, **settings: Any) -> str:
        name = f"q-{uuid4().hex[:8]}"
        return self.running.ensure_queue(name, QueueSettings(lock_ms=lock_ms, **settings))

    def restart(self, queue: str, lock_ms: int = 5000) -> None:
        """Start a stopped bus on its port; messages are kept, entities are declared anew."""
        self.running._wanted_port = self.running.port
        self.running.start()
        self.running.ensure_queue(queue, QueueSettings(lock_ms=lock_ms))

    def send(self, name: str, *messages: ServiceBusMessage | bytes, topic: bool = False) -> None:
        found = [one if isinstance(one, ServiceBusMessage) else ServiceBusMessage(one) for one in messages]
        with self.client() as client:
            get = client.get_topic_sender if topic else client.get_queue_sender
            with get(name) as sender:
                sender.send_messages(found)

    def take(self, name: str, count: int, *, wait_s: float = 5, **options: Any) -> list:
        """Receive and delete `count` messages, or as many as come."""
        found: list = []
        with (
            self.client() as client,
            client.get_queue_receiver(name, receive_mode="receiveanddelete", **options) as link,
        ):
            while len(found) < count:
                got = link.receive_messages(count - len(found), max_wait_time=wait_s)
                if not got:
                    break
                found += got
        return found

    def left(self, name: str) -> int:
        """How many messages are in a queue, locked ones too."""
        return self.running.call(lambda service: len(service.ensure_queue(name)))


class Function:
    """What a listener delivers to: counts, may be slow, fails for bodies that begin with `bad`."""

    def __init__(self, delay_s: float = 0.0) -> None:
        self.delay_s = delay_s
        self.events: list[Event] = []
        self.running = self.most = 0
        self.finished: Counter[bytes] = Counter()

    async def __call__(self, event: Event) -> None:
        self.events.append(event)
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await asyncio.sleep(self.delay_s)
        finally:
            self.running -= 1
        if event.payload.startswith(b"bad"):
            raise InvocationFailed("bad")
        self.finished[event.payload] += 1


async def until(probe: Callable[[], object], timeout_s: float = 15.0) -> None:
    """Wait until `probe` gives something true, or an awaitable that does."""
    deadline = time.monotonic() + timeout_s
    while True:
        found = probe()
        if inspect.isawaitable(found):
            found = await found
        if found:
            return
        assert time.monotonic() < deadline, f"not within {timeout_s:g} s"
        await asyncio.sleep(0.02)


@pytest.fixture(scope="module")
def bus() -> Iterator[Bus]:
    with DevBusThread() as running:
        yield Bus(running)


@pytest.fixture
def own_bus(tmp_path) -> Iterator[Bus]:
    """A bus that keeps its messages on disk, to be stopped and started."""
    running = DevBusThread(store=tmp_path / "bus.db")
    running.start()
    yield Bus(running)
    running.stop()


@pytest.fixture
async def listen():
    """Starts a listener: `await listen(bus, entity, function, **options)`; stops it at the end."""
    started: list[ServiceBusTrigger] = []

    async def start(
        bus: Bus,
        entity: Entity | str,
        function: Callable[[Event], Awaitable[None]],
        *,
        is_batch: bool = False,
        has_sessions: bool = False,
        **options,
    ):
        entity = Entity(entity) if isinstance(entity, str) else entity
        trigger = ServiceBusTrigger(
            "f", entity, bus.connection, BusOptions(**options), is_batch=is_batch, has_sessions=has_sessions
        )
        await trigger.start(function)
        started.append(trigger)
        return trigger

    yield start
    await asyncio.gather(*(trigger.stop() for trigger in started))


@pytest.fixture(scope="session")
def function_of() -> type[Function]:
    return Function


@pytest.fixture(scope="session")
def wait_for():
    return until
