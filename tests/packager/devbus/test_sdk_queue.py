"""The unmodified SDK on a queue: what is sent comes back as it was, and is settled in every way there is."""

from __future__ import annotations

import json
from contextlib import nullcontext
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from azure.servicebus import (
    ServiceBusClient,
    ServiceBusMessage,
    ServiceBusReceivedMessage,
    ServiceBusReceiveMode,
    __version__,
)
from azure.servicebus.amqp import AmqpAnnotatedMessage
from azure.servicebus.exceptions import (
    MessageLockLostError,
    MessageSizeExceededError,
    MessagingEntityNotFoundError,
    ServiceBusError,
)

from fnpack.devbus.entities.settings import QueueSettings

# from 7.15 on the SDK waits for the broker's answer to a settlement; before, it cannot know that a lock was lost
CONFIRMS = tuple(map(int, __version__.split(".")[:2])) >= (7, 15)
QUEUE, SHORT, DEDUPED = "work", "short", "deduped"


@pytest.fixture(scope="module", autouse=True)
def queues(bus) -> None:
    bus.ensure_queue(QUEUE, QueueSettings(lock_ms=30_000, max_deliveries=3))
    bus.ensure_queue(SHORT, QueueSettings(lock_ms=1_500, max_deliveries=2, dead_letter_expired=True))
    bus.ensure_queue(DEDUPED, QueueSettings(duplicate_window_ms=60_000))


@pytest.mark.parametrize(
    "body", ["text", "ünï©ødé", b"\x00\xff bytes", json.dumps({"a": [1, 2, None]}), "", b"", "x" * 200_000]
)
def test_a_body_comes_back_as_it_was_sent(links, body: str | bytes) -> None:
    links.sender(QUEUE).send_messages(ServiceBusMessage(body))
    message = links.receive(QUEUE)
    links.receiver(QUEUE).complete_message(message)
    assert b"".join(message.body) == (body if isinstance(body, bytes) else body.encode())


@pytest.mark.parametrize(
    "body",
    [
        {"value_body": {"k": [1, "two", None]}},
        {"sequence_body": [[1, "two"], [b"3"]]},
        {"data_body": [b"a", b"b"]},
    ],
)
def test_every_kind_of_amqp_body_survives(links, body: dict) -> None:
    links.sender(QUEUE).send_messages(AmqpAnnotatedMessage(**body))
    message = links.receive(QUEUE)
    links.receiver(QUEUE).complete_message(message)
    found = message.raw_amqp_message.body
    if "value_body" in body:
        assert found == {b"k": [1, b"two", None]}
    else:
        assert list(found) == [[1, b"two"], [b"3"]] if "sequence_body" in body else [b"a", b"b"]


def test_properties_come_back_as_they_were_sent(links) -> None:
    token, now_ms = uuid4(), 1_700_000_000_000
    own: dict[str | bytes, Any] = {"text": "t", "int": 7, "float": 1.5, "bool": True, "uuid": token}
    links.sender(QUEUE).send_messages(
        ServiceBusMessage(
            "x",
            message_id="id-1",
            content_type="application/json",
            correlation_id="correlation",
            subject="label",
            to="somewhere",
            reply_to="back",
            reply_to_session_id="other",
            session_id="ignored",
            partition_key="ignored",
            time_to_live=timedelta(minutes=5),
            application_properties=own,
        )
    )
    message = links.receive(QUEUE)
    assert message.lock_token is not None
    links.receiver(QUEUE).complete_message(message)
    assert (message.message_id, message.content_type, message.correlation_id) == (
        "id-1",
        "application/json",
        "correlation",
    )
    assert (message.subject, message.to, message.reply_to) == ("label", "somewhere", "back")
    assert (message.reply_to_session_id, message.session_id, message.partition_key) == (
        "other",
        "ignored",
        "ignored",
    )
    assert message.time_to_live == timedelta(minutes=5)
    found = {key.decode(): value for key, value in message.application_properties.items()}
    assert found == {**own, "text": b"t"}
    assert message.sequence_number > 0
    assert message.enqueued_time_utc.timestamp() * 1000 > now_ms
    assert message.delivery_count == 0


def test_lists_and_batches_arrive_in_order(links) -> None:
    sender, receiver = links.sender(QUEUE), links.receiver(QUEUE)
    sender.send_messages([ServiceBusMessage(str(number)) for number in range(50)])
    batch = sender.create_message_batch()
    for number in range(50, 100):
        batch.add_message(ServiceBusMessage(str(number)))
    sender.send_messages(batch)
    found: list[str] = []
    while len(found) < 100:
        for message in receiver.receive_messages(100, max_wait_time=10):
            found.append(str(message))
            receiver.complete_message(message)
    assert found == [str(number) for number in range(100)]


def test_a_message_that_is_too_large_is_rejected_and_the_link_lives_on(links) -> None:
    with pytest.raises(MessageSizeExceededError, match="more than 262144 bytes"):
        links.sender(QUEUE).send_messages(ServiceBusMessage("x" * 300_000))
    links.sender(QUEUE).send_messages(ServiceBusMessage("small"))
    links.receiver(QUEUE).complete_message(links.receive(QUEUE))


def test_an_abandoned_message_comes_back_counted_and_becomes_a_dead_letter_at_the_maximum(
    links,
) -> None:
    links.sender(QUEUE).send_messages(ServiceBusMessage("poison", application_properties={"kept": 1}))
    for attempt in range(3):
        message = links.receive(QUEUE)
        assert (str(message), message.delivery_count) == ("poison", attempt)
        links.receiver(QUEUE).abandon_message(message)
    (dead,) = links.dead_letters(QUEUE).receive_messages(1)
    links.dead_letters(QUEUE).complete_message(dead)
    assert (str(dead), dead.dead_letter_reason) == ("poison", "MaxDeliveryCountExceeded")
    assert dead.dead_letter_error_description == "Message could not be consumed after 3 delivery attempts."
    assert dead.application_properties[b"kept"] == 1
    assert dead.dead_letter_source == QUEUE


def test_a_dead_letter_has_the_reason_given(links) -> None:
    links.sender(QUEUE).send_messages(ServiceBusMessage("bad"))
    links.receiver(QUEUE).dead_letter_message(links.receive(QUEUE), reason="why", error_description="because")
    (dead,) = links.dead_letters(QUEUE).receive_messages(1)
    links.dead_letters(QUEUE).complete_message(dead)
    assert (dead.dead_letter_reason, dead.dead_letter_error_description) == ("why", "because")


def test_a_deferred_message_is_received_by_number_and_renewed_there(links) -> None:
    receiver = links.receiver(QUEUE)
    links.sender(QUEUE).send_messages([ServiceBusMessage("later"), ServiceBusMessage("next")])
    deferred = links.receive(QUEUE)
    receiver.defer_message(deferred)
    following = links.receive(QUEUE)
    receiver.complete_message(following)
    assert str(following) == "next"
    (peeked,) = receiver.peek_messages(1, sequence_number=deferred.sequence_number)
    assert peeked.state.name == "DEFERRED"
    (found,) = receiver.receive_deferred_messages(deferred.sequence_number)
    assert str(found) == "later"
    assert found.lock_token is not None
    receiver.renew_message_lock(found)
    receiver.complete_message(found)
    with pytest.raises(ServiceBusError, match="no deferred message"):
        receiver.receive_deferred_messages(deferred.sequence_number)


def test_a_deferred_message_is_settled_in_every_way(links) -> None:
    """The SDK settles deferred messages by requests, not on the link."""
    receiver = links.receiver(QUEUE)

    def deferred(body: str) -> tuple[int, ServiceBusReceivedMessage]:
        links.sender(QUEUE).send_messages(ServiceBusMessage(body))
        message = links.receive(QUEUE)
        receiver.defer_message(message)
        (found,) = receiver.receive_deferred_messages(message.sequence_number)
        return message.sequence_number, found

    for settle in (receiver.abandon_message, receiver.defer_message):
        number, found = deferred("again")
        settle(found)
        (again,) = receiver.receive_deferred_messages(number)
        receiver.complete_message(again)
    _, found = deferred("buried")
    receiver.dead_letter_message(found, reason="why", error_description="because")
    (dead,) = links.dead_letters(QUEUE).receive_messages(1)
    assert (str(dead), dead.dead_letter_reason) == ("buried", "why")
    links.dead_letters(QUEUE).complete_message(dead)


def test_peeking_shows_messages_and_takes_none(links) -> None:
    links.sender(QUEUE).send_messages([ServiceBusMessage(str(number)) for number in range(5)])
    receiver = links.receiver(QUEUE)
    first = links.receive(QUEUE)  # a locked one is shown too
    number = first.sequence_number
    peeked = receiver.peek_messages(10, sequence_number=number)
    assert [str(message) for message in peeked] == ["0", "1", "2", "3", "4"]
    assert [str(message) for message in receiver.peek_messages(2, sequence_number=number + 3)] == ["3", "4"]
    receiver.complete_message(first)
    for _ in range(4):
        receiver.complete_message(links.receive(QUEUE))
    assert receiver.peek_messages(10, sequence_number=number) == []


def test_a_scheduled_message_comes_in_time_and_a_cancelled_one_never(links, now) -> None:
    due = now() + timedelta(seconds=1)
    sender, receiver = links.sender(QUEUE), links.receiver(QUEUE)
    numbers = sender.schedule_messages([ServiceBusMessage("cancelled"), ServiceBusMessage("scheduled")], due)
    (peeked,) = receiver.peek_messages(1, sequence_number=numbers[1])
    assert peeked.state.name == "SCHEDULED"
    sender.cancel_scheduled_messages(numbers[0])
    with pytest.raises(ServiceBusError, match="no such scheduled message"):
        sender.cancel_scheduled_messages(numbers[0])
    message = links.receive(QUEUE)
    assert now() >= due
    receiver.complete_message(message)
    assert str(message) == "scheduled"


def test_a_message_sent_with_a_scheduled_time_is_held_back(links, now) -> None:
    due = now() + timedelta(seconds=1)
    links.sender(QUEUE).send_messages(
        [ServiceBusMessage("held", scheduled_enqueue_time_utc=due), ServiceBusMessage("at once")]
    )
    first, second = links.receive(QUEUE), links.receive(QUEUE)
    assert (str(first), str(second)) == ("at once", "held")
    assert now() >= due
    for message in (first, second):
        links.receiver(QUEUE).complete_message(message)


def test_receive_and_delete_leaves_nothing(links) -> None:
    links.sender(QUEUE).send_messages([ServiceBusMessage("one"), ServiceBusMessage("two")])
    mode = ServiceBusReceiveMode.RECEIVE_AND_DELETE
    with links.client.get_queue_receiver(QUEUE, receive_mode=mode, max_wait_time=5) as receiver:
        found = receiver.receive_messages(2)
        found += receiver.receive_messages(1) if len(found) < 2 else []
        assert [str(message) for message in found] == ["one", "two"]
        assert receiver.peek_messages(1, sequence_number=found[0].sequence_number) == []


def test_a_repeated_message_id_is_dropped_within_the_window(links) -> None:
    for body, message_id in (("first", "a"), ("repeat", "a"), ("other", "b")):
        links.sender(DEDUPED).send_messages(ServiceBusMessage(body, message_id=message_id))
    receiver = links.receiver(DEDUPED)
    found = [links.receive(DEDUPED), links.receive(DEDUPED)]
    for message in found:
        receiver.complete_message(message)
    assert [str(message) for message in found] == ["first", "other"]
    assert receiver.peek_messages(1, sequence_number=1) == []


def test_a_message_past_its_time_to_live_becomes_a_dead_letter(links) -> None:
    links.sender(SHORT).send_messages(ServiceBusMessage("old", time_to_live=timedelta(milliseconds=300)))
    (dead,) = links.dead_letters(SHORT).receive_messages(1)
    links.dead_letters(SHORT).complete_message(dead)
    assert (str(dead), dead.dead_letter_reason) == ("old", "TTLExpiredException")


def test_a_lock_that_ends_gives_the_message_back_and_settling_is_an_error(links, bus) -> None:
    links.sender(SHORT).send_messages(ServiceBusMessage("slow"))
    message = links.receive(SHORT)
    assert bus.call(lambda service: service.lose_locks(SHORT)) == 1
    with pytest.raises(MessageLockLostError) if CONFIRMS else nullcontext():
        links.receiver(SHORT).complete_message(message)
    again = links.receive(SHORT)
    links.receiver(SHORT).complete_message(again)
    assert (again.sequence_number, again.delivery_count) == (message.sequence_number, 1)


def test_a_lock_expires_by_itself(links, now, wait_until) -> None:
    links.sender(SHORT).send_messages(ServiceBusMessage("slow"))
    message = links.receive(SHORT)
    again = links.receive(SHORT)
    assert now() >= message.locked_until_utc
    links.receiver(SHORT).complete_message(again)
    assert (again.sequence_number, again.delivery_count) == (message.sequence_number, 1)


def test_a_renewed_lock_outlives_its_first_end(links, now, wait_until) -> None:
    from azure.servicebus import AutoLockRenewer

    links.sender(SHORT).send_messages(ServiceBusMessage("long"))
    message = links.receive(SHORT)
    first_end = message.locked_until_utc
    with AutoLockRenewer(max_lock_renewal_duration=30) as renewer:
        renewer.register(links.receiver(SHORT), message)
        wait_until(lambda: now() > first_end + timedelta(seconds=0.5))
        assert message.auto_renew_error is None
        links.receiver(SHORT).complete_message(message)


def test_locks_belong_to_the_queue_and_outlive_the_receiver(links, bus) -> None:
    links.sender(QUEUE).send_messages(ServiceBusMessage("mine"))
    with links.client.get_queue_receiver(QUEUE, max_wait_time=5) as gone:
        (message,) = gone.receive_messages(1)
    receiver = links.receiver(QUEUE)
    assert receiver.receive_messages(1, max_wait_time=0.5) == []
    assert bus.call(lambda service: service.lose_locks(QUEUE, [message.sequence_number])) == 1
    again = links.receive(QUEUE)
    receiver.complete_message(again)
    assert again.sequence_number == message.sequence_number


def test_a_receiver_with_prefetch_gets_every_message_once(links) -> None:
    links.sender(QUEUE).send_messages([ServiceBusMessage(str(number)) for number in range(60)])
    found: list[str] = []
    with links.client.get_queue_receiver(QUEUE, prefetch_count=20, max_wait_time=5) as receiver:
        while len(found) < 60:
            for message in receiver.receive_messages(10):
                receiver.complete_message(message)
                found.append(str(message))
    assert sorted(map(int, found)) == list(range(60))


def test_an_entity_that_does_not_exist_is_not_found(links) -> None:
    with pytest.raises(MessagingEntityNotFoundError):
        links.client.get_queue_receiver("nowhere").receive_messages(1)
    with pytest.raises(MessagingEntityNotFoundError), links.client.get_queue_sender("nowhere") as sender:
        sender.send_messages(ServiceBusMessage("x"))


def test_entity_names_are_compared_without_regard_to_case(links) -> None:
    links.sender(QUEUE.upper()).send_messages(ServiceBusMessage("x"))
    links.receiver(QUEUE).complete_message(links.receive(QUEUE))


def test_a_refused_token_is_an_authentication_error(bus) -> None:
    bus.call(lambda service: setattr(service.faults, "refuse_tokens", True))
    try:
        options: dict[str, Any] = {"retry_total": 0, "try_timeout": 5}
        client = ServiceBusClient.from_connection_string(bus.connection_string, **options)
        with client, pytest.raises(ServiceBusError, match="client-error"):
            client.get_queue_sender(QUEUE).send_messages(
                ServiceBusMessage("x")
            )  # what the SDK makes of a 401
    finally:
        bus.call(lambda service: setattr(service.faults, "refuse_tokens", False))
