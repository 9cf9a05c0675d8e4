"""A storage account with containers of a test's own, and listeners that end with it."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

import pytest
from azure.storage.blob.aio import BlobServiceClient, ContainerClient

from fnpack_triggers.base import Binding, Event
from fnpack_triggers.blob.listener import BlobTrigger
from fnpack_triggers.blob.options import BlobOptions
from fnpack_triggers.connections import StorageConnection


def _is_idle(listener: BlobTrigger) -> bool:
    return not listener._in_flight


class Storage(Protocol):
    connection_string: str


@dataclass
class Box:
    """One test's container in an account, its listeners, and what they delivered."""

    connection: StorageConnection
    service: BlobServiceClient
    name: str = field(default_factory=lambda: f"box-{uuid.uuid4().hex}")
    host_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    delivered: list[Event] = field(default_factory=list)
    listeners: list[BlobTrigger] = field(default_factory=list)

    @property
    def container(self) -> ContainerClient:
        return self.service.get_container_client(self.name)

    @property
    def sources(self) -> list[str]:
        return sorted(event.source.partition("/")[2] for event in self.delivered)

    def listener(self, pattern: str = "{name}", **options: int) -> BlobTrigger:
        binding = Binding("event", "blobtrigger", "in", {"path": f"{self.name}/{pattern}"})
        one = BlobTrigger(
            "score", binding, self.host_id, self.connection, self.connection, BlobOptions(**options)
        )
        self.listeners.append(one)
        return one

    async def deliver(self, event: Event) -> None:
        self.delivered.append(event)

    async def drop(self, *names: str, data: bytes = b"x") -> None:
        gate = asyncio.Semaphore(16)

        async def one(name: str) -> None:
            async with gate:
                await self.container.upload_blob(name, data, overwrite=True)

        await asyncio.gather(*(one(name) for name in names))

    async def until(self, condition: Callable[[], object], what: str, timeout_s: float = 20.0) -> None:
        deadline = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline, f"not within {timeout_s} s: {what}"
            await asyncio.sleep(0.02)

    async def settle(self) -> None:
        """Wait until the blob that is last in the listing, dropped now, is delivered and all are settled."""
        await self.drop("zz-last")
        await self.until(
            lambda: any(event.source.endswith("zz-last") for event in self.delivered), "the last blob"
        )
        for listener in self.listeners:
            await self.until(partial(_is_idle, listener), "nothing in flight")


@pytest.fixture
async def box_of() -> AsyncIterator[Callable[[str], Awaitable[Box]]]:
    """Opens a new box in the account of a connection string; its listeners end with the test."""
    boxes: list[Box] = []

    async def open_box(connection_string: str) -> Box:
        connection = StorageConnection.parse("TestStorage", connection_string)
        one = Box(connection, BlobServiceClient.from_connection_string(connection.text))
        boxes.append(one)
        await one.container.create_container()
        return one

    yield open_box
    for one in boxes:
        await asyncio.gather(*(listener.stop(1) for listener in one.listeners))
        await one.service.close()


@pytest.fixture
async def box(azurite: Storage, box_of: Callable[[str], Awaitable[Box]]) -> Box:
    return await box_of(azurite.connection_string)
