"""What fnpack relies on in a Service Bus, asked with the unmodified library: the embedded one must do as the others."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone

import pytest
from azure.servicebus import ServiceBusMessage, ServiceBusReceivedMessage, ServiceBusReceiveMode, __version__
from azure.servicebus.exceptions import (
    MessageLockLostError,
    MessagingEntityNotFoundError,
    ServiceBusError,
    SessionCannotBeLockedError,
)

# from 7.15 on the library waits for the broker's answer to a settlement; before, it cannot know that a lock was lost
CONFIRMS = tuple(map(int, __version__.split(".")[:2])) >= (7, 15)
OUTPUT, SESSIONS, TOPIC = "contract-output", "contract-sessions", "contract-topic"
DEAD = {"sub_queue": "deadletter"}


def test_message_comes_as_it_was_sent_and_is_gone_when_it_is_completed(bus) -> None:
    bus.send(
        b"\x00\xff", content_type="a/b", subject="s", reply_to="r", application_properties={"n": 3, "t": "x"}
    )
    (message,) = bus.receive()
    assert b"".join(message.body) == b"\x00\xff"
    assert (message.content_type, message.subject, message.reply_to) == ("a/b", "s", "r")
    assert message.application_properties == {b"n": 3, b"t": b"x"}
    assert message.delivery_count == 0
    assert message.enqueued_time_utc <= datetime.now(timezone.utc) + timedelta(seconds=5)
    assert message.locked_until_utc > datetime.now(timezone.utc)
    bus.receiver().complete_message(message)
    assert bus.peek() == []


def test_messages_sent_together_come_in_order(bus) -> None:
    bus.send(*map(str, range(20)))
    found = bus.receive(20)
    assert [str(one) for one in found] == [str(number) for number in range(20)]
    numbers = [one.sequence_number for one in found]
    assert numbers == sorted(numbers)
    for one in found:
        bus.receiver().complete_message(one)


def test_abandoned_message_comes_back_counted_and_is_a_dead_letter_after_three_deliveries(bus) -> None:
    bus.send("poison")
    for count in range(3):
        (message,) = bus.receive()
        assert message.delivery_count == count
        bus.receiver().abandon_message(message)
    (dead,) = bus.receive(**DEAD)
    assert (str(dead), dead.dead_letter_reason) == ("poison", "MaxDeliveryCountExceeded")
    bus.receiver(**DEAD).complete_message(dead)


def test_dead_letter_keeps_reason_and_description(bus) -> None:
    bus.send("x")
    (message,) = bus.receive()
    bus.receiver().dead_letter_message(message, reason="why", error_description="how")
    (dead,) = bus.receive(**DEAD)
    assert (dead.dead_letter_reason, dead.dead_letter_error_description) == ("why", "how")
    bus.receiver(**DEAD).complete_message(dead)


def test_deferred_message_is_received_by_its_number(bus) -> None:
    bus.send("later")
    (message,) = bus.receive()
    bus.receiver().defer_message(message)
    (found,) = bus.receiver().receive_deferred_messages(message.sequence_number)
    assert str(found) == "later"
    bus.receiver().complete_message(found)


def test_lock_runs_out_and_a_renewed_one_does_not(bus) -> None:
    bus.send("kept")
    (kept,) = bus.receive()
    first = kept.locked_until_utc
    bus.send("lost")
    (lost,) = bus.receive()
    found: list[ServiceBusReceivedMessage] = []
    deadline = time.monotonic() + 30
    while not found and time.monotonic() < deadline:
        bus.receiver().renew_message_lock(kept)
        found = bus.receiver().receive_messages(1, max_wait_time=1.5)
    assert kept.locked_until_utc > first
    (again,) = found
    assert (str(again), again.delivery_count) == ("lost", lost.delivery_count + 1)
    bus.receiver().complete_message(again)
    if CONFIRMS:
        with pytest.raises(MessageLockLostError):
            bus.receiver().complete_message(lost)
    bus.receiver().renew_message_lock(kept)
    bus.receiver().complete_message(kept)


def test_scheduled_message_comes_in_time_and_a_cancelled_one_never(bus) -> None:
    due = datetime.now(timezone.utc) + timedelta(seconds=3)
    messages = [ServiceBusMessage(body, correlation_id=bus.tag) for body in ("comes", "cancelled")]
    numbers = bus.sender().schedule_messages(messages, due)
    bus.sender().cancel_scheduled_messages(numbers[1:])
    (message,) = bus.receive()
    assert str(message) == "comes"
    assert datetime.now(timezone.utc) >= due - timedelta(seconds=1)
    bus.receiver().complete_message(message)
    assert bus.peek() == []


def test_message_past_its_life_becomes_a_dead_letter(bus) -> None:
    bus.send("old", time_to_live=timedelta(seconds=1))
    (dead,) = bus.receive(**DEAD)
    assert (str(dead), dead.dead_letter_reason) == ("old", "TTLExpiredException")
    bus.receiver(**DEAD).complete_message(dead)


def test_message_that_is_too_large_is_refused_and_the_link_lives_on(bus) -> None:
    with pytest.raises(ServiceBusError):
        bus.send(b"x" * 300_000)
    bus.send("small")
    (message,) = bus.receive()
    bus.receiver().complete_message(message)


def test_receive_and_delete_leaves_nothing(bus) -> None:
    bus.send("gone", to=OUTPUT)
    (message,) = bus.receive(name=OUTPUT, receive_mode=ServiceBusReceiveMode.RECEIVE_AND_DELETE)
    assert str(message) == "gone"
    assert bus.peek(OUTPUT) == []


def test_repeated_message_id_is_dropped(bus) -> None:
    for body in ("first", "repeat"):
        bus.send(body, to=OUTPUT, message_id=bus.tag)
    bus.send("another", to=OUTPUT)
    mode = ServiceBusReceiveMode.RECEIVE_AND_DELETE
    found = bus.receive(2, name=OUTPUT, receive_mode=mode)
    assert [str(one) for one in found] == ["first", "another"]


def test_each_subscription_gets_what_its_rules_let_through(bus) -> None:
    bus.send("1", to=TOPIC, topic=True, subject="paint", application_properties={"colour": "blue", "size": 5})
    bus.send("2", to=TOPIC, topic=True, subject="paint", application_properties={"colour": "red", "size": 50})
    bus.send("3", to=TOPIC, topic=True, subject="ink", application_properties={"colour": "blue", "size": 50})
    expected = {"everything": ["1", "2", "3"], "blue": ["1"], "large": ["2", "3"]}
    for subscription, bodies in expected.items():
        found = bus.receive(len(bodies), name=TOPIC, subscription=subscription)
        assert sorted(str(one) for one in found) == bodies
        for one in found:
            bus.receiver(TOPIC, subscription).complete_message(one)


def test_session_has_one_holder_keeps_its_order_and_its_state(bus) -> None:
    for session, body in ((bus.tag, "1"), (f"{bus.tag}-other", "no"), (bus.tag, "2")):
        bus.send(body, to=SESSIONS, session_id=session)
    open_receiver = bus.client.get_queue_receiver
    with open_receiver(SESSIONS, session_id=bus.tag) as holder:
        with pytest.raises(SessionCannotBeLockedError), open_receiver(SESSIONS, session_id=bus.tag) as other:
            other.receive_messages(1, max_wait_time=5)
        found = [holder.receive_messages(1, max_wait_time=20)[0] for _ in range(2)]
        assert [(str(one), one.session_id) for one in found] == [("1", bus.tag), ("2", bus.tag)]
        holder.session.set_state("half way")
        until = holder.session.locked_until_utc
        assert holder.session.renew_lock() >= until
        for one in found:
            holder.complete_message(one)
    with open_receiver(SESSIONS, session_id=bus.tag) as holder:
        assert holder.session.get_state() == b"half way"
        holder.session.set_state(None)
    with open_receiver(SESSIONS, session_id=f"{bus.tag}-other") as holder:
        holder.complete_message(holder.receive_messages(1, max_wait_time=20)[0])


def test_what_does_not_exist_or_does_not_fit_is_said_so(bus) -> None:
    with (
        pytest.raises(MessagingEntityNotFoundError),
        bus.client.get_queue_receiver("contract-nowhere") as receiver,
    ):
        receiver.receive_messages(1, max_wait_time=2)
    with (
        pytest.raises(ServiceBusError, match="amqp:not-allowed"),
        bus.client.get_queue_receiver(SESSIONS) as receiver,
    ):
        receiver.receive_messages(1, max_wait_time=2)
