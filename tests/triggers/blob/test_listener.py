"""The blob trigger against a real storage service."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import pytest
from azure.storage.blob.aio import BlobLeaseClient
from azure.storage.queue.aio import QueueClient

from fnpack_triggers.base import Binding, Event, InvocationFailed
from fnpack_triggers.blob.account import open_queue
from fnpack_triggers.blob.faults import StorageUnavailable
from fnpack_triggers.blob.listener import BlobTrigger
from fnpack_triggers.blob.poison import POISON_QUEUE, PoisonQueue
from fnpack_triggers.connections import StorageConnection
from fnpack_triggers.errors import ConnectionSettingError


class PrivateAzurite(Protocol):
    connection_string: str

    def start(self) -> None: ...

    def stop(self) -> None: ...


async def test_every_blob_is_delivered_exactly_once(box) -> None:
    names = [f"{n:03d} &ü+%.txt" for n in range(200)]
    await box.drop(*names[:100])
    await box.listener().start(box.deliver)
    await box.drop(*names[100:])
    await box.settle()
    assert box.sources == sorted([*names, "zz-last"])


async def test_an_event_says_what_and_where_the_blob_is(box) -> None:
    await box.container.upload_blob("a/b.json", b"{}", metadata={"Kind": "cat"})
    await box.listener("{dir}/{name}.json").start(box.deliver)
    await box.until(lambda: box.delivered, "the blob")
    (event,) = box.delivered
    assert event.payload == b"{}"
    assert (event.source, event.attempt) == (f"{box.name}/a/b.json", 1)
    assert event.content_type == "application/octet-stream"
    assert event.data["BlobTrigger"] == f"{box.name}/a/b.json"
    assert str(event.data["Uri"]).endswith(f"/{box.name}/a/b.json")
    assert (event.data["dir"], event.data["name"]) == ("a", "b")
    assert event.data["Metadata"] == {"Kind": "cat"}
    properties = event.data["Properties"]
    assert isinstance(properties, dict)
    assert properties["ContentLength"] == 2


async def test_blobs_that_do_not_match_are_left_alone(box) -> None:
    await box.drop("in/a.json", "in/a.txt", "out/a.json")
    await box.listener("in/{name}.json").start(box.deliver)
    await box.drop("in/b.json")
    await box.until(lambda: "in/b.json" in box.sources, "the later blob")
    assert box.sources == ["in/a.json", "in/b.json"]


async def test_an_empty_blob_is_delivered(box) -> None:
    await box.drop("empty", data=b"")
    await box.listener().start(box.deliver)
    await box.until(lambda: box.delivered, "the blob")
    assert box.delivered[0].payload == b""


async def test_three_listeners_share_the_work_and_deliver_each_blob_once(box) -> None:
    names = [f"{n:03d}" for n in range(150)]
    await box.drop(*names[:50])
    first, second, third = (box.listener() for _ in range(3))
    await first.start(box.deliver)
    await asyncio.gather(second.start(box.deliver), third.start(box.deliver))
    await box.drop(*names[50:100])
    await box.until(
        lambda: min(len(one._ownership.partitions) for one in box.listeners) >= 4, "partitions are shared out"
    )
    await box.drop(*names[100:])
    await box.until(lambda: set(box.sources) >= set(names), "all blobs")
    await box.settle()
    held = Counter(number for one in box.listeners for number in one._ownership.partitions)
    assert max(held.values()) == 1
    assert box.sources == sorted([*names, "zz-last"])


async def test_a_restarted_listener_does_not_deliver_again_but_finds_what_came_meanwhile(box) -> None:
    first = box.listener()
    await first.start(box.deliver)
    await box.drop("old1", "old2")
    await box.until(lambda: len(box.delivered) == 2, "the first blobs")
    await first.stop()
    await first.stop()  # twice does no harm
    await box.drop("new1", "new2")
    await box.listener().start(box.deliver)
    await box.settle()
    assert box.sources == ["new1", "new2", "old1", "old2", "zz-last"]


async def test_an_overwritten_blob_is_delivered_again(box) -> None:
    await box.listener().start(box.deliver)
    await box.drop("a", data=b"1")
    await box.until(lambda: len(box.delivered) == 1, "the blob")
    await box.drop("a", data=b"2")
    await box.until(lambda: len(box.delivered) == 2, "the new version")
    assert [event.payload for event in box.delivered] == [b"1", b"2"]


async def test_a_new_version_waits_until_the_old_one_is_settled(box) -> None:
    release, running, most = asyncio.Event(), 0, 0

    async def slow(event: Event) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await box.deliver(event)
        await release.wait()
        running -= 1

    await box.listener().start(slow)
    await box.drop("a", data=b"1")
    await box.until(lambda: box.delivered, "the blob")
    await box.drop("a", data=b"2")
    await box.drop("b")
    await box.until(lambda: "b" in box.sources, "another blob")
    release.set()
    await box.until(lambda: len(box.delivered) == 3, "the new version")
    assert [event.payload for event in box.delivered if event.source.endswith("/a")] == [b"1", b"2"]


async def test_a_blob_that_always_fails_is_tried_five_times_then_reported(
    box, caplog: pytest.LogCaptureFixture
) -> None:
    attempts: list[int] = []

    async def fail(event: Event) -> None:
        attempts.append(event.attempt)
        raise InvocationFailed

    await box.listener().start(fail)
    await box.drop("bad &.json")
    with caplog.at_level(logging.ERROR, "fnpack.triggers.blob"):
        await box.until(lambda: POISON_QUEUE in caplog.text, "the report")
    assert attempts == [1, 2, 3, 4, 5]
    etag = (await box.container.get_blob_client("bad &.json").get_blob_properties()).etag.strip('"')
    assert await poison_messages(box) == [
        {
            "Type": "BlobTrigger",
            "FunctionId": "Host.Functions.score",
            "BlobType": "BlockBlob",
            "ContainerName": box.name,
            "BlobName": "bad &.json",
            "ETag": etag,
        }
    ]
    await box.listeners[0].stop()
    await box.listener().start(box.deliver)
    await box.settle()
    assert box.sources == ["zz-last"]  # it stays given up


async def test_a_blob_that_kills_the_host_every_time_is_reported_too(box) -> None:
    await box.drop("killer")
    started: list[int] = []
    for round_ in range(2):
        listener = box.listener(poison_blob_threshold=2)

        async def die(event: Event, one: BlobTrigger = listener) -> None:
            started.append(event.attempt)
            await vanish(one)

        await listener.start(die)
        await box.until(lambda count=round_: len(started) > count, "the blob")
        await expire_leases(box)
    await box.listener(poison_blob_threshold=2).start(box.deliver)
    found: list[dict[str, str]] = []
    while not found:
        await asyncio.sleep(0.05)
        found = await poison_messages(box)
    assert started == [1, 2]
    assert not box.delivered


async def test_a_blob_that_cannot_be_read_is_given_up_and_the_log_says_why(
    box, caplog: pytest.LogCaptureFixture
) -> None:
    await box.drop("cold")
    await box.container.get_blob_client("cold").set_standard_blob_tier("Archive")
    with caplog.at_level(logging.ERROR, "fnpack.triggers.blob"):
        await box.listener(poison_blob_threshold=2).start(box.deliver)
        await box.until(lambda: POISON_QUEUE in caplog.text, "the report")
    assert f"`{box.name}/cold` cannot be read (BlobArchived)" in caplog.text
    assert not box.delivered


async def test_a_failure_because_storage_was_away_does_not_count(box) -> None:
    attempts: list[int] = []

    async def fail_twice(event: Event) -> None:
        attempts.append(event.attempt)
        if len(attempts) <= 2:
            raise InvocationFailed from StorageUnavailable("the output's account does not answer")
        await box.deliver(event)

    await box.listener(poison_blob_threshold=1).start(fail_twice)
    await box.drop("a")
    await box.until(lambda: box.delivered, "the blob")
    assert attempts == [1, 1, 1]


async def test_receipts_of_former_hosts_are_merged_and_still_hold(box) -> None:
    prefix = f"fnpack/blobtrigger/{box.host_id}/score/receipts/"
    container = box.service.get_container_client("azure-webjobs-hosts")
    for number in range(6):
        listener = box.listener()
        await listener.start(box.deliver)
        await box.drop(f"{number}")
        await box.until(lambda count=number: len(box.delivered) > count, "the blob")
        if number < 4:
            await listener.stop()
    deadline = time.monotonic() + 10
    names = [""]
    while not any(name.startswith("compacted-") for name in names):
        assert time.monotonic() < deadline, names
        names = [
            name.removeprefix(prefix) async for name in container.list_blob_names(name_starts_with=prefix)
        ]
    assert len(names) <= 3
    for listener in box.listeners:
        await listener.stop()
    await box.listener().start(box.deliver)
    await box.settle()
    assert box.sources == [*"012345", "zz-last"]


async def test_a_stop_lets_blobs_in_flight_finish(box) -> None:
    running, release = asyncio.Event(), asyncio.Event()

    async def slow(event: Event) -> None:
        running.set()
        await release.wait()
        await box.deliver(event)

    listener = box.listener()
    await listener.start(slow)
    await box.drop("a")
    await running.wait()
    stopping = asyncio.create_task(listener.stop())
    await asyncio.sleep(0)
    release.set()
    await stopping
    await box.listener().start(box.deliver)
    await box.settle()
    assert box.sources == ["a", "zz-last"]


async def test_what_a_stop_cuts_off_is_delivered_by_the_next_host_and_not_counted(box) -> None:
    running = asyncio.Event()

    async def hang(event: Event) -> None:
        running.set()
        await asyncio.Event().wait()

    listener = box.listener()
    await listener.start(hang)
    await box.drop("a")
    await running.wait()
    await listener.stop(grace_s=0.05)
    await box.listener(poison_blob_threshold=1).start(box.deliver)
    await box.settle()
    assert box.sources == ["a", "zz-last"]


async def test_no_more_blobs_run_at_once_than_allowed(box) -> None:
    running, most = 0, 0

    async def count(event: Event) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1
        await box.deliver(event)

    await box.drop(*(str(n) for n in range(30)))
    await box.listener(max_degree_of_parallelism=3).start(count)
    await box.until(lambda: len(box.delivered) == 30, "all blobs")
    assert most == 3


async def test_an_absent_container_is_named_once_and_works_when_it_appears(
    box, caplog: pytest.LogCaptureFixture
) -> None:
    await box.container.delete_container()
    box.name += "-2"
    await box.listener().start(box.deliver)
    await box.until(lambda: "does not exist; create it" in caplog.text, "the warning")
    await box.container.create_container()
    await box.drop("a")
    await box.until(lambda: box.delivered, "the blob")
    assert caplog.text.count("does not exist") == 1


async def test_a_refused_key_fails_the_start_and_is_not_shown(box) -> None:
    wrong = base64.b64encode(b"wrong-key" * 4).decode()
    parts = dict(part.split("=", 1) for part in box.connection.text.strip(";").split(";"))
    text = ";".join(f"{key}={value}" for key, value in {**parts, "AccountKey": wrong}.items())
    connection = StorageConnection.parse("BadStorage", text)
    binding = Binding("event", "blobtrigger", "in", {"path": f"{box.name}/{{name}}"})
    with pytest.raises(ConnectionSettingError, match="`BadStorage` does not work") as caught:
        await BlobTrigger("score", binding, box.host_id, connection, connection).start(box.deliver)
    assert wrong not in f"{caught.value} {caught.value.hint}"


async def test_a_restart_of_storage_in_the_middle_loses_nothing_and_is_logged_once(
    azurite_factory: Callable[[Path], PrivateAzurite],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    box_of,
) -> None:
    private = await asyncio.to_thread(azurite_factory, tmp_path)
    box = await box_of(private.connection_string)
    names = [f"{n:02d}" for n in range(60)]
    await box.drop(*names)

    async def slow(event: Event) -> None:
        await asyncio.sleep(0.05)
        await box.deliver(event)

    await box.listener(max_degree_of_parallelism=4).start(slow)
    await box.until(lambda: len(box.delivered) > 10, "some blobs")
    await asyncio.to_thread(private.stop)
    await box.until(lambda: "retrying until it is back" in caplog.text, "the loss is noticed")
    await asyncio.to_thread(private.start)
    await box.until(lambda: set(box.sources) >= set(names), "all blobs", timeout_s=30)
    await box.until(lambda: not box.listeners[0]._in_flight, "nothing in flight")
    assert caplog.text.count("retrying until it is back") == caplog.text.count("is back after") == 1
    assert box.sources == names


async def test_two_first_poison_messages_at_once_both_arrive(azurite_factory) -> None:
    """On an account of its own, as the queue must not be there yet."""
    connection = StorageConnection.parse("X", azurite_factory().connection_string)
    await asyncio.gather(*(PoisonQueue(connection, "f").send(f"m{number}") for number in range(6)))
    async with open_queue(connection, POISON_QUEUE) as queue:
        messages = [message async for message in queue.receive_messages(messages_per_page=32)]
    found = [base64.b64decode(message.content).decode() for message in messages]
    assert sorted(found) == [f"m{number}" for number in range(6)]


async def poison_messages(box) -> list[dict[str, str]]:
    """The messages about this test's container, as a consumer decodes them."""
    async with QueueClient.from_connection_string(box.connection.text, POISON_QUEUE) as queue:
        try:
            messages = [
                message async for message in queue.receive_messages(max_messages=32, visibility_timeout=1)
            ]
        except Exception as exc:
            if getattr(exc, "error_code", "") == "QueueNotFound":
                return []
            raise
    decoded = [json.loads(base64.b64decode(message.content)) for message in messages]
    return [message for message in decoded if message["ContainerName"] == box.name]


async def vanish(listener: BlobTrigger) -> None:
    """Do what a kill does: stop everything, tell nobody."""
    tasks = [listener._discovery, *listener._ownership._tasks, listener._segments._writer]
    for task in tasks:
        task.cancel()  # type: ignore[union-attr]
    listener._segments._writer = None  # the end of the test does not wait for it
    await asyncio.Event().wait()


async def expire_leases(box) -> None:
    """What thirty seconds do to the leases and the announcement of a dead host."""
    prefix = f"fnpack/blobtrigger/{box.host_id}/score/"
    container = box.service.get_container_client("azure-webjobs-hosts")
    async for blob in container.list_blobs(name_starts_with=prefix + "partitions/"):
        client = container.get_blob_client(blob.name)
        if blob.lease.state == "leased":
            await BlobLeaseClient(client).break_lease(0)
    async for blob in container.list_blobs(name_starts_with=prefix + "hosts/"):
        await container.delete_blob(blob.name)
