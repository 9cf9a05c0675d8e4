"""The trigger on a real AMQP broker with the real library."""

from __future__ import annotations

import asyncio
import json
import logging
import time

import pytest
from azure.servicebus import ServiceBusMessage
from azure.servicebus.amqp import AmqpAnnotatedMessage

from fnpack_triggers.base import InvocationFailed
from fnpack_triggers.errors import ConnectionSettingError, ServiceError
from fnpack_triggers.service_bus.connection import BusConnection
from fnpack_triggers.service_bus.entity import Entity
from fnpack_triggers.service_bus.faults import BusUnavailable
from fnpack_triggers.service_bus.listener import ServiceBusTrigger


async def empty(bus, name: str) -> bool:
    return await asyncio.to_thread(bus.left, name) == 0


async def test_every_message_is_run_once_and_completed(bus, listen, function_of, wait_for) -> None:
    name = bus.queue()
    bodies = [b"%d" % number for number in range(200)]
    bus.send(name, *bodies)
    function = function_of()
    await listen(bus, name, function)
    await wait_for(lambda: len(function.finished) == 200)
    await wait_for(lambda: empty(bus, name))
    assert set(function.finished.values()) == {1}
    assert len(function.events) == 200


async def test_no_more_messages_run_at_once_than_allowed(bus, listen, function_of, wait_for) -> None:
    name = bus.queue()
    bus.send(name, *(b"%d" % number for number in range(20)))
    function = function_of(0.05)
    await listen(bus, name, function, max_concurrent_calls=4)
    await wait_for(lambda: len(function.finished) == 20)
    assert function.most == 4


async def test_message_of_an_idle_queue_is_run_at_once(bus, listen, wait_for) -> None:
    name, seen = bus.queue(), []

    async def note(event) -> None:
        seen.append(time.time() - float(event.payload))

    await listen(bus, name, note)
    with bus.client() as client, client.get_queue_sender(name) as sender:
        for number in range(1, 6):
            sender.send_messages(ServiceBusMessage(str(time.time()).encode()))
            await wait_for(lambda number=number: len(seen) == number)
    assert sorted(seen)[2] < 0.15


async def test_failing_message_is_dead_lettered_by_the_broker_after_its_deliveries(
    bus, listen, function_of, wait_for
) -> None:
    name = bus.queue(max_deliveries=3)
    bus.send(name, b"bad", b"good")
    function = function_of()
    await listen(bus, name, function)
    await wait_for(lambda: sum(event.payload == b"bad" for event in function.events) == 3)
    (dead,) = await asyncio.to_thread(bus.take, name, 1, sub_queue="deadletter")
    assert b"".join(dead.body) == b"bad"
    assert dead.dead_letter_reason == "MaxDeliveryCountExceeded"
    attempts = [event.attempt for event in function.events if event.payload == b"bad"]
    assert attempts == [1, 2, 3]
    counts = [event.data["DeliveryCount"] for event in function.events if event.payload == b"bad"]
    assert counts == [1, 2, 3]
    assert function.finished == {b"good": 1}


async def test_lock_is_renewed_while_the_function_runs(bus, listen, function_of, wait_for) -> None:
    name = bus.queue(lock_ms=1000)
    bus.send(name, b"slow")
    function = function_of(3.5)
    await listen(bus, name, function)
    await wait_for(lambda: function.finished)
    await wait_for(lambda: empty(bus, name))
    assert len(function.events) == 1


async def test_lock_that_ran_out_is_told_and_the_message_completed_when_it_comes_again(
    bus, listen, function_of, wait_for, caplog
) -> None:
    name = bus.queue(lock_ms=1000)
    bus.send(name, b"slow")
    function = function_of(2.0)
    await listen(bus, name, function, max_renewal_s=0.0, max_concurrent_calls=1)
    await wait_for(lambda: function.finished)
    await wait_for(lambda: empty(bus, name))
    assert len(function.events) == 1
    assert "ran out before it was settled" in caplog.text


async def test_without_auto_complete_a_message_comes_again(bus, listen, function_of, wait_for) -> None:
    name = bus.queue(lock_ms=500)
    bus.send(name, b"x")
    function = function_of()
    await listen(bus, name, function, is_auto_complete=False)
    await wait_for(lambda: len(function.events) >= 2)


async def test_subscription_and_dead_letters_can_be_listened_to(bus, listen, function_of, wait_for) -> None:
    bus.running.ensure_topic("events")
    bus.running.ensure_subscription("events", "audit")
    bus.send("events", b"one", topic=True)
    function = function_of()
    await listen(bus, Entity("events", is_topic=True, subscription="audit"), function)
    await wait_for(lambda: function.finished == {b"one": 1})
    assert function.events[0].source.startswith("events/audit/")

    name = bus.queue(max_deliveries=1)
    bus.send(name, b"bad")
    await listen(bus, name, function)
    dead = function_of()
    await listen(bus, Entity(name, is_dead_letters=True), dead)
    await wait_for(lambda: dead.events)
    assert dead.events[0].data["DeadLetterReason"] == "MaxDeliveryCountExceeded"


async def test_metadata_has_the_documented_names(bus, listen, function_of, wait_for) -> None:
    name = bus.queue()
    message = ServiceBusMessage(
        json.dumps({"deviceId": "d1", "Label": "json", "list": [1]}),
        application_properties={"tenant": "a", "n": 3},
        content_type="application/json",
        correlation_id="c",
        subject="s",
        message_id="m",
        to="t",
        reply_to="r",
        reply_to_session_id="rs",
        partition_key="p",
    )
    bus.send(name, message)
    function = function_of()
    await listen(bus, name, function)
    await wait_for(lambda: function.events)
    (event,) = function.events
    expected = {
        "MessageId": "m", "ContentType": "application/json", "CorrelationId": "c", "Label": "s", "Subject": "s",
        "To": "t", "ReplyTo": "r", "ReplyToSessionId": "rs", "PartitionKey": "p", "DeliveryCount": 1, "State": 0,
        "UserProperties": {"tenant": "a", "n": 3}, "deviceId": "d1", "label": "json",
    }  # fmt: skip
    assert {key: event.data[key] for key in expected} == expected
    assert str(event.data["EnqueuedTimeUtc"]).endswith("+00:00")
    assert event.data["LockToken"]
    assert "list" not in event.data
    assert event.content_type == "application/json"
    assert event.source == f"{name}/m"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"data_body": [b"a", b"b"]}, b"ab"),
        ({"value_body": {"a": 1}}, b'{"a": 1}'),
        ({"value_body": "text"}, b"text"),
        ({"sequence_body": [[1, "x"]]}, b'[[1, "x"]]'),
    ],
)
async def test_body_of_every_kind_becomes_bytes(bus, listen, function_of, wait_for, body, expected) -> None:
    name = bus.queue()
    with bus.client() as client, client.get_queue_sender(name) as sender:
        sender.send_messages(AmqpAnnotatedMessage(**body))
    function = function_of()
    await listen(bus, name, function)
    await wait_for(lambda: function.events)
    assert function.events[0].payload == expected


async def test_stop_finishes_what_runs_and_leaves_the_rest(bus, listen, function_of, wait_for) -> None:
    name = bus.queue()
    bus.send(name, *(b"%d" % number for number in range(10)))
    function = function_of(0.5)
    trigger = await listen(bus, name, function, max_concurrent_calls=2, prefetch_count=5)
    await wait_for(lambda: function.running == 2)
    await trigger.stop()
    done = len(function.finished)
    assert done == len(function.events)
    rest = await asyncio.to_thread(bus.take, name, 10, wait_s=1)
    assert len(rest) == 10 - done
    assert {one.delivery_count for one in rest} == {0}


async def test_run_that_outlasts_the_grace_period_is_given_back(bus, listen, function_of, wait_for) -> None:
    name = bus.queue(lock_ms=60_000)
    bus.send(name, b"slow")
    function = function_of(60)
    trigger = await listen(bus, name, function)
    await wait_for(lambda: function.running)
    await trigger.stop(grace_s=0.2)
    (again,) = await asyncio.to_thread(bus.take, name, 1)
    assert again.delivery_count == 1


async def test_output_that_is_away_costs_no_delivery(bus, listen, wait_for) -> None:
    name, attempts = bus.queue(max_deliveries=1), []
    bus.send(name, b"x")

    async def fail_twice(event) -> None:
        attempts.append(event.attempt)
        if len(attempts) < 3:
            raise InvocationFailed("away") from BusUnavailable("away")

    await listen(bus, name, fail_twice)
    await wait_for(lambda: len(attempts) == 3)
    await wait_for(lambda: empty(bus, name))
    assert attempts == [1, 1, 1]


async def test_restart_of_the_broker_loses_nothing_and_is_told_once(
    own_bus, listen, function_of, wait_for, caplog
) -> None:
    caplog.set_level(logging.WARNING)
    name = own_bus.queue(lock_ms=1500)
    bodies = [b"%d" % number for number in range(60)]
    own_bus.send(name, *bodies)
    function = function_of(0.2)
    await listen(own_bus, name, function, max_concurrent_calls=8, delay_s=0.1)
    await wait_for(lambda: len(function.finished) >= 10)
    await asyncio.to_thread(own_bus.running.stop)
    await wait_for(lambda: "retrying until it is back" in caplog.text)
    await asyncio.to_thread(own_bus.restart, name, 1500)
    await wait_for(lambda: len(function.finished) == 60, 30)
    await wait_for(lambda: empty(own_bus, name))
    assert caplog.text.count("retrying until it is back") == 1
    assert caplog.text.count("is back after") == 1
    assert set(function.finished.values()) == {1}  # also those that ran when the link was lost


async def test_entity_that_is_made_later_is_waited_for(bus, listen, function_of, wait_for, caplog) -> None:
    function = function_of()
    await listen(bus, "made-later", function, delay_s=0.1)
    assert "does not exist" in caplog.text
    bus.running.ensure_queue("made-later")
    bus.send("made-later", b"x")
    await wait_for(lambda: function.finished)


async def test_namespace_that_does_not_answer_fails_the_start(monkeypatch, free_port) -> None:
    monkeypatch.setattr("fnpack_triggers.service_bus.listener._START_PATIENCE_S", 1.0)
    text = f"Endpoint=sb://127.0.0.1:{free_port()};SharedAccessKeyName=n;SharedAccessKey=k=;UseDevelopmentEmulator=true"
    trigger = ServiceBusTrigger("f", Entity("q"), BusConnection.parse("TheBus", text))
    with pytest.raises(ServiceError, match="does not answer"):
        await trigger.start(lambda _: asyncio.sleep(0))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("nonsense", "part 1 is not of the form"),
        ("SharedAccessKeyName=n;SharedAccessKey=secret", "`Endpoint` is missing"),
        ("Endpoint=https://x/;SharedAccessKeyName=n;SharedAccessKey=secret", "is not of the form sb://"),
        ("Endpoint=sb://x/;SharedAccessKeyName=n", "`SharedAccessKey` is missing"),
    ],
)
def test_malformed_connection_string_is_refused_without_showing_it(text: str, reason: str) -> None:
    with pytest.raises(ConnectionSettingError, match=reason) as caught:
        BusConnection.parse("TheBus", text)
    assert "secret" not in f"{caught.value} {caught.value.hint}"


def test_connection_shows_no_key_and_drops_the_entity_path() -> None:
    text = "Endpoint=sb://x.servicebus.windows.net/;SharedAccessKeyName=n;SharedAccessKey=secret;EntityPath=q"
    connection = BusConnection.parse("TheBus", text)
    assert "secret" not in repr(connection)
    assert "EntityPath" not in connection.text
    assert connection.namespace == "x.servicebus.windows.net"
