"""Storage queues and blobs for a person, against Azurite."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest

from fnpack.dev.emulator import Emulator
from fnpack.dev.needs import Entity
from fnpack.messages.blobs import Blobs
from fnpack.messages.errors import PlaceError
from fnpack.messages.message import Draft
from fnpack.messages.place import Place
from fnpack.messages.storage_queue import StorageQueue, decoded
from fnpack_triggers.blob.faults import StorageRefused
from fnpack_triggers.connections import StorageConnection


@pytest.fixture(scope="module")
def connection(azurite) -> StorageConnection:
    return StorageConnection.parse("test", azurite.connection_string)


@pytest.fixture
def name(azurite) -> Iterator[str]:
    """The name of a container and of a queue that are there, and of a poison queue."""
    found = f"m-{uuid4().hex[:8]}"
    emulator = Emulator(azurite.connection_string)
    for _ in range(2):  # what is there already is left as it is
        emulator.create(Entity("container", found))
        emulator.create(Entity("storage queue", found))
    emulator.create(Entity("storage queue", f"{found}-poison"))
    yield found
    from azure.storage.blob import BlobServiceClient
    from azure.storage.queue import QueueServiceClient

    with BlobServiceClient.from_connection_string(azurite.connection_string) as blobs:
        blobs.delete_container(found)
    with QueueServiceClient.from_connection_string(azurite.connection_string) as queues:
        for one in (found, f"{found}-poison"):
            queues.delete_queue(one)


def test_message_is_sent_seen_and_taken(connection: StorageConnection, name: str) -> None:
    queue = StorageQueue(connection, Place("storage-queue", name))
    queue.send([Draft("grüße".encode()), Draft(b"two")])
    assert [one.body.decode() for one in queue.peek(10)] == ["grüße", "two"]
    assert [one.body.decode() for one in queue.receive(10, 0)] == ["grüße", "two"]
    assert queue.peek(10) == []


def test_poison_message_goes_back_to_its_queue(connection: StorageConnection, name: str) -> None:
    StorageQueue(connection, Place("storage-queue", f"{name}-poison")).send([Draft(b"poison")])
    place = Place("storage-queue", name)
    assert len(list(StorageQueue(connection, place, dead_letter=True).receive(5, 0, requeue=True))) == 1
    assert [one.body for one in StorageQueue(connection, place).peek(5)] == [b"poison"]


@pytest.mark.parametrize(
    ("text", "body"),
    [("aGVsbG8=", b"hello"), ("plain text", b"plain text"), ("test", b"test"), ("/wA=", b"/wA=")],
)
def test_text_is_decoded_only_where_it_is_text_in_base64(text: str, body: bytes) -> None:
    assert decoded(text) == body


def test_blob_is_written_listed_and_read(connection: StorageConnection, name: str) -> None:
    blobs = Blobs(connection)
    for one in ("a/1.json", "a/2.json", "b.json"):
        blobs.write(Place("blob", name, one), one.encode(), "application/json")
    assert [one.name for one in blobs.list(Place("blob", name, "a/"), 10)] == ["a/1.json", "a/2.json"]
    assert len(blobs.list(Place("blob", name), 2)) == 2
    assert blobs.read(Place("blob", name, "b.json")) == b"b.json"
    assert blobs.read(Place("blob", name, "c.json")) is None
    assert blobs.version(Place("blob", name, "c.json")) is None
    with pytest.raises(PlaceError):
        blobs.write(Place("blob", name), b"x")


def test_what_is_not_there_is_named(connection: StorageConnection) -> None:
    with pytest.raises(StorageRefused, match="has no queue `nowhere`"):
        StorageQueue(connection, Place("storage-queue", "nowhere")).peek(1)
    with pytest.raises(StorageRefused, match="has no container `nowhere`"):
        Blobs(connection).write(Place("blob", "nowhere", "x"), b"")
