"""The unmodified SDK on a queue with sessions: one holder at a time, in order, with a state."""

from __future__ import annotations

import pytest
from azure.servicebus import (
    NEXT_AVAILABLE_SESSION,
    AutoLockRenewer,
    ServiceBusMessage,
    ServiceBusReceivedMessage,
    __version__,
)
from azure.servicebus.exceptions import (
    OperationTimeoutError,
    ServiceBusError,
    SessionCannotBeLockedError,
    SessionLockLostError,
)

from fnpack.devbus.entities.settings import QueueSettings

# from 7.15 on the SDK waits for the broker's answer to a settlement; before, it cannot know that a lock was lost
CONFIRMS = tuple(map(int, __version__.split(".")[:2])) >= (7, 15)
QUEUE, BRIEF = "sessions", "brief-sessions"


@pytest.fixture(scope="module", autouse=True)
def queues(bus) -> None:
    bus.ensure_queue(QUEUE, QueueSettings(requires_session=True, lock_ms=30_000))
    bus.ensure_queue(BRIEF, QueueSettings(requires_session=True, lock_ms=2_000))


def hold(links, session: object, queue: str = QUEUE):
    return links.client.get_queue_receiver(queue, session_id=session, max_wait_time=10)


def test_a_holder_gets_its_session_in_order_and_nothing_else(links, name: str) -> None:
    links.sender(QUEUE).send_messages(
        [
            ServiceBusMessage(body, session_id=session)
            for session, body in ((name, "1"), ("x", "no"), (name, "2"))
        ]
    )
    with hold(links, name) as receiver:
        found: list[ServiceBusReceivedMessage] = []
        while len(found) < 2:
            found += receiver.receive_messages(2)
        assert [(str(message), message.session_id) for message in found] == [("1", name), ("2", name)]
        for message in found:
            receiver.complete_message(message)
        assert receiver.receive_messages(1, max_wait_time=0.5) == []
    with hold(links, "x") as receiver:
        receiver.complete_message(receiver.receive_messages(1)[0])


def test_a_session_keeps_its_state_from_holder_to_holder(links, name: str) -> None:
    with hold(links, name) as receiver:
        assert receiver.session.get_state() is None
        receiver.session.set_state("half way")
    with hold(links, name) as receiver:
        assert receiver.session.get_state() == b"half way"
        receiver.session.set_state(None)
        assert receiver.session.get_state() is None


def test_a_session_has_one_holder_until_it_goes(links, name: str, wait_until) -> None:
    links.sender(QUEUE).send_messages(ServiceBusMessage("x", session_id=name))
    with hold(links, name) as first:
        (message,) = first.receive_messages(1)
        with pytest.raises(SessionCannotBeLockedError), hold(links, name) as second:
            second.receive_messages(1)
    with hold(links, name) as later:  # closing frees the session, and is no failed attempt
        (again,) = later.receive_messages(1)
        assert (again.sequence_number, again.delivery_count) == (message.sequence_number, 0)
        later.complete_message(again)


def test_the_next_available_session_is_one_that_is_free(links, name: str) -> None:
    links.sender(QUEUE).send_messages([ServiceBusMessage(one, session_id=name + one) for one in "ab"])
    with hold(links, NEXT_AVAILABLE_SESSION) as first, hold(links, NEXT_AVAILABLE_SESSION) as second:
        assert {first.session.session_id, second.session.session_id} == {name + "a", name + "b"}
        for receiver in (first, second):
            receiver.complete_message(receiver.receive_messages(1)[0])


def test_waiting_for_a_session_ends_in_time(links) -> None:
    with (
        pytest.raises(OperationTimeoutError),
        links.client.get_queue_receiver(
            QUEUE, session_id=NEXT_AVAILABLE_SESSION, max_wait_time=1
        ) as receiver,
    ):
        receiver.receive_messages(1)


def test_a_session_lock_is_renewed(links, name: str, now, wait_until) -> None:
    links.sender(BRIEF).send_messages(ServiceBusMessage("x", session_id=name))
    with hold(links, name, BRIEF) as receiver, AutoLockRenewer(max_lock_renewal_duration=30) as renewer:
        first_end = receiver.session.locked_until_utc
        assert first_end > now()
        renewer.register(receiver, receiver.session)
        (message,) = receiver.receive_messages(1)
        wait_until(lambda: now() > first_end and receiver.session.locked_until_utc > now())
        receiver.complete_message(message)


def test_a_lost_session_is_an_error_and_counts_as_a_failed_attempt(links, bus, name: str) -> None:
    links.sender(QUEUE).send_messages(ServiceBusMessage("x", session_id=name))
    with hold(links, name) as receiver:
        (message,) = receiver.receive_messages(1)
        bus.call(lambda service: service.lose_session(QUEUE, name))
        with pytest.raises(SessionLockLostError):
            receiver.session.get_state()
        if CONFIRMS:
            with pytest.raises(SessionLockLostError):
                receiver.complete_message(message)
    with hold(links, name) as receiver:
        (again,) = receiver.receive_messages(1)
        receiver.complete_message(again)
        assert again.delivery_count == 1


def test_sessions_with_messages_or_state_are_listed(links, name: str) -> None:
    if not hasattr(links.client, "list_queue_sessions"):
        pytest.skip("this SDK cannot list sessions")
    links.sender(QUEUE).send_messages([ServiceBusMessage("x", session_id=name + one) for one in "ab"])
    assert {name + "a", name + "b"} <= set(links.client.list_queue_sessions(QUEUE))
    for one in "ab":
        with hold(links, name + one) as receiver:
            receiver.complete_message(receiver.receive_messages(1)[0])


def test_a_message_without_a_session_is_refused(links) -> None:
    with pytest.raises(ServiceBusError, match="no session id"):
        links.sender(QUEUE).send_messages(ServiceBusMessage("x"))


def test_a_receiver_without_a_session_is_refused(links) -> None:
    with (
        pytest.raises(ServiceBusError, match="has sessions"),
        links.client.get_queue_receiver(QUEUE) as receiver,
    ):
        receiver.receive_messages(1)


def test_a_deferred_message_of_a_session_is_received_by_number(links, name: str) -> None:
    links.sender(QUEUE).send_messages(ServiceBusMessage("later", session_id=name))
    with hold(links, name) as receiver:
        (message,) = receiver.receive_messages(1)
        receiver.defer_message(message)
        (found,) = receiver.receive_deferred_messages(message.sequence_number)
        receiver.complete_message(found)
        assert str(found) == "later"
        assert receiver.peek_messages(10, sequence_number=0) == []
