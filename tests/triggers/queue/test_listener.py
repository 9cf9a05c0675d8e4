"""The queue trigger against a real storage service."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import signal
import time
from collections import Counter
from pathlib import Path

import pytest

from fnpack_triggers.base import Event, InvocationFailed
from fnpack_triggers.blob.faults import StorageUnavailable
from fnpack_triggers.connections import StorageConnection
from fnpack_triggers.errors import BindingError, ConnectionSettingError
from fnpack_triggers.expressions import Template
from fnpack_triggers.queue.listener import QueueTrigger
from fnpack_triggers.queue.options import QueueOptions
from fnpack_triggers.queue.runs import QueueRuns


async def test_two_listeners_deliver_each_of_200_messages_exactly_once(box) -> None:
    texts = [f"{n:03d} &<ü" for n in range(200)]
    await box.send(*texts[:100])
    await asyncio.gather(*(box.listener().start(box.deliver) for _ in range(2)))
    await box.send(*texts[100:])
    await box.until(lambda: len(box.delivered) >= 200, "all messages")
    await box.until_empty()
    assert box.texts == sorted(texts)


async def test_an_event_carries_the_documented_metadata_and_json_properties(box) -> None:
    await box.send('{"name": "a", "nested": {"x": 1}, "list": [1], "none": null, "id": "mine"}')
    await box.listener().start(box.deliver)
    await box.until(lambda: box.delivered, "the message")
    (event,) = box.delivered
    assert json.loads(event.payload)["name"] == "a"
    assert event.source == f"{box.name}/{event.data['Id']}"
    assert event.data["QueueTrigger"] == event.payload.decode()
    assert event.data["DequeueCount"] == event.attempt == 1
    for moment in ("InsertionTime", "ExpirationTime", "NextVisibleTime"):
        assert str(event.data[moment]).endswith("+00:00")
    assert event.data["PopReceipt"]
    assert (event.data["name"], event.data["nested"], event.data["id"]) == ("a", {"x": 1}, "mine")
    assert "list" not in event.data
    assert "none" not in event.data


async def test_a_json_id_is_what_expressions_read_and_the_messages_id_what_user_code_sees(box) -> None:
    await box.send('{"Id": "mine", "DequeueCount": "many"}')
    await box.listener().start(box.deliver)
    await box.until(lambda: box.delivered, "the message")
    data = box.delivered[0].data
    assert Template.parse("{Id}-{dequeuecount}").render(data) == "mine-many"
    assert data["Id"] == box.delivered[0].source.partition("/")[2] != "mine"
    assert data["DequeueCount"] == 1


async def test_a_message_is_deleted_only_after_its_outputs_are_durable(box) -> None:
    release = asyncio.Event()

    async def slow(event: Event) -> None:
        await box.deliver(event)
        await release.wait()

    await box.send("a")
    await box.listener().start(slow)
    await box.until(lambda: box.delivered, "the message")
    assert await box.count() == 1
    release.set()
    await box.until_empty()


async def test_a_failing_message_goes_to_poison_after_five_attempts_as_it_was_written(box) -> None:
    async def fail(event: Event) -> None:
        await box.deliver(event)
        raise InvocationFailed

    await box.send("böse")
    await box.listener().start(fail)
    await box.until_empty()
    assert [event.attempt for event in box.delivered] == [1, 2, 3, 4, 5]
    (poison,) = [one async for one in box.poison.receive_messages()]
    assert base64.b64decode(poison.content).decode() == "böse"


async def test_a_failed_message_waits_for_the_visibility_timeout(box) -> None:
    times: list[float] = []

    async def fail_once(event: Event) -> None:
        times.append(time.monotonic())
        if len(times) == 1:
            raise InvocationFailed

    await box.send("a")
    await box.listener(retry_after_s=1.0).start(fail_once)
    await box.until_empty()
    assert times[1] - times[0] >= 0.9


async def test_a_message_of_a_poison_queue_is_kept_for_later(box) -> None:
    box.name = f"{box.name[:50]}-poison"
    await box.queue.create_queue()

    async def fail(event: Event) -> None:
        await box.deliver(event)
        raise InvocationFailed

    await box.send("a")
    listener = box.listener(max_dequeue_count=1)
    await listener.start(fail)
    await box.until(lambda: box.delivered, "the message")
    await box.until(lambda: not listener._in_flight, "the message is settled")
    assert await box.count() == 1
    assert len(box.delivered) == 1


async def test_plain_text_in_a_base64_queue_goes_to_poison_unchanged(box, caplog) -> None:
    await box.queue.send_message("plain text, not base64!")
    await box.listener().start(box.deliver)
    await box.until_empty()
    assert box.delivered == []
    (poison,) = [one async for one in box.poison.receive_messages()]
    assert poison.content == "plain text, not base64!"
    assert "messageEncoding" in caplog.text


async def test_plain_text_is_delivered_where_messages_are_not_encoded(box) -> None:
    await box.queue.send_message("plain <text> & more")
    await box.listener(is_base64=False).start(box.deliver)
    await box.until_empty()
    assert box.texts == ["plain <text> & more"]


async def test_a_message_that_runs_longer_than_it_is_held_is_renewed(box) -> None:
    async def slow(event: Event) -> None:
        await box.deliver(event)
        await asyncio.sleep(4.5)

    await box.send("a")
    await asyncio.gather(*(box.listener(hold_s=2).start(slow) for _ in range(2)))
    await box.until_empty()
    assert len(box.delivered) == 1


async def test_a_message_of_a_killed_host_runs_on_another(box) -> None:
    never = asyncio.Event()

    async def hang(event: Event) -> None:
        await box.deliver(event)
        await never.wait()

    await box.send("a")
    victim = box.listener(hold_s=2)
    await victim.start(hang)
    await box.until(lambda: box.delivered, "the message")

    async def nothing(_: object, message: object) -> None:
        pass

    with pytest.MonkeyPatch.context() as sigkill:
        sigkill.setattr(QueueRuns, "give_back", nothing)
        tasks = [*victim._tasks, *victim._in_flight]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    await box.listener(hold_s=2).start(box.deliver)
    await box.until_empty()
    assert [event.attempt for event in box.delivered] == [1, 2]


async def test_a_message_that_ends_its_hosts_goes_to_poison_without_another_run(box) -> None:
    await box.send("deadly")
    for _ in range(2):  # two hosts took it and died
        (taken,) = [one async for one in box.queue.receive_messages(visibility_timeout=1)]
        await asyncio.sleep(1.1)
    await box.listener(max_dequeue_count=2).start(box.deliver)
    await box.until_empty()
    assert box.delivered == []
    assert len([one async for one in box.poison.receive_messages()]) == 1
    assert taken.dequeue_count == 2


async def test_no_more_messages_run_than_batch_and_threshold_allow(box) -> None:
    running, most = 0, 0

    async def slow(event: Event) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.02)
        running -= 1
        await box.deliver(event)

    await box.send(*map(str, range(40)))
    await box.listener(batch_size=4, new_batch_threshold=2).start(slow)
    await box.until(lambda: len(box.delivered) == 40, "all messages")
    assert 4 <= most <= 6


async def test_stopping_finishes_what_runs_and_gives_back_what_does_not_end(box) -> None:
    never = asyncio.Event()

    async def work(event: Event) -> None:
        if event.payload == b"endless":
            await never.wait()
        await asyncio.sleep(0.3)
        await box.deliver(event)

    await box.send("endless", "short")
    listener = box.listener()
    await listener.start(work)
    await box.until(lambda: len(listener._in_flight) == 2, "both messages run")
    started = time.monotonic()
    await listener.stop(1.0)
    await listener.stop(1.0)  # twice does no harm
    assert time.monotonic() - started < 4
    assert box.texts == ["short"]
    (again,) = [one async for one in box.queue.receive_messages()]  # visible at once
    assert base64.b64decode(again.content) == b"endless"


async def test_an_absent_queue_is_reported_once_and_waited_for(box, caplog) -> None:
    await box.queue.delete_queue()
    listener = box.listener()
    await listener.start(box.deliver)
    await box.until(lambda: listener._backoff._empty_polls > 2, "several polls")
    assert caplog.text.count("does not exist") == 1
    await box.queue.create_queue()
    await box.send("a")
    await box.until_empty()
    assert box.texts == ["a"]


async def test_an_output_failure_for_lack_of_storage_does_not_count_against_the_message(box) -> None:
    async def unlucky(event: Event) -> None:
        await box.deliver(event)
        if len(box.delivered) == 1:
            raise InvocationFailed from StorageUnavailable("away")

    await box.send("a")
    await box.listener(max_dequeue_count=1).start(unlucky)
    await box.until_empty()
    assert [event.attempt for event in box.delivered] == [1, 1]


async def test_the_function_can_be_started_by_hand(box) -> None:
    listener = box.listener()
    await listener.start(box.deliver)
    await listener.start_by_hand('{"x": 1}')
    (event,) = box.delivered
    assert (event.payload, event.data["x"], event.attempt) == (b'{"x": 1}', 1, 1)


async def test_a_storage_restart_loses_no_message(box_of, azurite_factory, tmp_path: Path, caplog) -> None:
    caplog.set_level(logging.WARNING)
    storage = azurite_factory(tmp_path)
    box = await box_of(storage.connection_string)
    texts = [str(n) for n in range(60)]
    await box.send(*texts)

    async def work(event: Event) -> None:
        await box.deliver(event)
        await asyncio.sleep(0.05)

    listener = box.listener(hold_s=4, batch_size=8, new_batch_threshold=4)
    await listener.start(work)
    await box.until(lambda: len(box.delivered) >= 16, "some messages")
    await asyncio.to_thread(storage.stop)
    await box.until(lambda: listener._patience.is_lost, "the outage is noticed")
    await asyncio.to_thread(storage.start)
    await box.until_empty()
    counts = Counter(event.payload.decode() for event in box.delivered)
    assert sorted(counts) == sorted(texts)
    assert "is back after" in caplog.text


async def test_a_stop_keeps_to_its_grace_while_storage_hangs(box_of, azurite_factory, tmp_path: Path) -> None:
    storage = azurite_factory(tmp_path)
    box = await box_of(storage.connection_string)

    async def hang(event: Event) -> None:
        await box.deliver(event)
        await asyncio.sleep(60)

    listener = box.listener(max_polling_interval_s=0.1)
    await listener.start(hang)
    await box.send("a")
    await box.until(lambda: box.delivered, "the message")
    storage._process.send_signal(signal.SIGSTOP)
    try:
        await asyncio.sleep(0.5)  # long enough that a receive hangs
        began = time.monotonic()
        await listener.stop(3)
        assert time.monotonic() - began < 3 + 5 + 2  # to finish, to give back, and to spare
    finally:
        storage._process.send_signal(signal.SIGCONT)


async def test_a_wrong_key_ends_the_start_with_the_settings_name(box) -> None:
    key = base64.b64encode(b"wrong").decode()
    parts = [p for p in box.connection.text.split(";") if p and not p.startswith("AccountKey")]
    connection = StorageConnection.parse("MyStorage", ";".join([*parts, f"AccountKey={key}"]))
    with pytest.raises(ConnectionSettingError, match="MyStorage"):
        await QueueTrigger("f", box.name, connection).start(box.deliver)


async def test_a_connection_without_a_queue_endpoint_is_a_clear_error(box) -> None:
    connection = StorageConnection.parse(
        "MyStorage", "BlobEndpoint=https://x.test;SharedAccessSignature=sv=1"
    )
    with pytest.raises(ConnectionSettingError, match="`MyStorage` has no queue endpoint"):
        await QueueTrigger("f", box.name, connection).start(box.deliver)


@pytest.mark.parametrize("name", ["ab", "a--b", "-ab", "a_b", "a" * 64, ""])
def test_a_name_that_no_queue_can_have_is_refused(name: str) -> None:
    connection = StorageConnection.parse("S", "UseDevelopmentStorage=true")
    with pytest.raises(BindingError, match="storage queue"):
        QueueTrigger("f", name, connection, QueueOptions())
