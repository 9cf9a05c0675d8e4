"""A storage account with a queue of a test's own, and listeners that end with it."""

from __future__ import annotations

import asyncio
import base64
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import pytest
from azure.storage.queue.aio import QueueClient, QueueServiceClient

from fnpack_triggers.base import Event
from fnpack_triggers.connections import StorageConnection
from fnpack_triggers.queue.listener import QueueTrigger
from fnpack_triggers.queue.options import QueueOptions


class Storage(Protocol):
    connection_string: str


@dataclass
class Box:
    """One test's queue in an account, its listeners, and what they delivered."""

    connection: StorageConnection
    service: QueueServiceClient
    name: str = field(default_factory=lambda: f"box-{uuid.uuid4().hex}")
    delivered: list[Event] = field(default_factory=list)
    listeners: list[QueueTrigger] = field(default_factory=list)

    @property
    def queue(self) -> QueueClient:
        return self.service.get_queue_client(self.name)

    @property
    def poison(self) -> QueueClient:
        return self.service.get_queue_client(f"{self.name}-poison")

    @property
    def texts(self) -> list[str]:
        return sorted(event.payload.decode() for event in self.delivered)

    def listener(self, **options: Any) -> QueueTrigger:
        given = {"max_polling_interval_s": 0.3, **options}
        one = QueueTrigger("score", self.name, self.connection, QueueOptions(**given))
        self.listeners.append(one)
        return one

    async def deliver(self, event: Event) -> None:
        self.delivered.append(event)

    async def send(self, *texts: str) -> None:
        gate = asyncio.Semaphore(16)

        async def one(text: str) -> None:
            async with gate:
                await self.queue.send_message(base64.b64encode(text.encode()).decode())

        await asyncio.gather(*(one(text) for text in texts))

    async def count(self) -> int:
        """How many messages the queue holds, visible or not."""
        return (await self.queue.get_queue_properties()).approximate_message_count or 0

    async def until(self, condition: Callable[[], object], what: str, timeout_s: float = 20.0) -> None:
        deadline = time.monotonic() + timeout_s
        while True:
            result = condition()
            if isinstance(result, Awaitable):
                result = await result
            if result:
                return
            assert time.monotonic() < deadline, f"not within {timeout_s} s: {what}"
            await asyncio.sleep(0.02)

    async def until_empty(self) -> None:
        async def is_empty() -> bool:
            return await self.count() == 0

        await self.until(is_empty, "the queue is empty")


@pytest.fixture
async def box_of() -> AsyncIterator[Callable[[str], Awaitable[Box]]]:
    """Opens a new box in the account of a connection string; its listeners end with the test."""
    boxes: list[Box] = []

    async def open_box(connection_string: str) -> Box:
        connection = StorageConnection.parse("TestStorage", connection_string)
        one = Box(connection, QueueServiceClient.from_connection_string(connection.text))
        boxes.append(one)
        await one.queue.create_queue()
        return one

    yield open_box
    for one in boxes:
        await asyncio.gather(*(listener.stop(1) for listener in one.listeners))
        await one.service.close()


@pytest.fixture
async def box(azurite: Storage, box_of: Callable[[str], Awaitable[Box]]) -> Box:
    return await box_of(azurite.connection_string)
