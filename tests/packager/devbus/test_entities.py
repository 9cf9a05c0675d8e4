"""The state machine, against a clock that the test moves: whatever happens, no message is lost or doubled."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from fnpack.devbus.amqp.encode import encode
from fnpack.devbus.amqp.message import Message, parse_message
from fnpack.devbus.amqp.types import Described, ULong
from fnpack.devbus.entities.errors import (
    BusError,
    MessageLockLostError,
    NotAllowedError,
    OutOfRangeError,
    QuotaError,
)
from fnpack.devbus.entities.namespace import Namespace
from fnpack.devbus.entities.queue import MessageQueue
from fnpack.devbus.entities.settings import QueueSettings
from fnpack.devbus.entities.stored import State

LOCK_MS, MAX_DELIVERIES = 1000, 3


class Clock:
    def __init__(self) -> None:
        self.ms = 1_700_000_000_000

    def __call__(self) -> int:
        return self.ms


def make_message(number: int, *, session: str | None = None, ttl_ms: int | None = None) -> Message:
    body = encode(Described(ULong(0x75), b"%d" % number))
    message = Message(raw_body=body, ttl_ms=ttl_ms)
    return message.with_properties({"message_id": f"m{number}", "group_id": session})


class QueueMachine(RuleBasedStateMachine):
    """Any order of operations on one queue, with and without sessions."""

    @initialize(sessions=st.booleans(), buried=st.booleans())
    def begin(self, sessions: bool, buried: bool) -> None:
        self.clock = Clock()
        space = Namespace(self.clock)
        self.queue: MessageQueue = space.ensure_queue(
            "q",
            QueueSettings(
                lock_ms=LOCK_MS,
                max_deliveries=MAX_DELIVERIES,
                requires_session=sessions,
                dead_letter_expired=buried,
            ),
        )
        assert self.queue.dead_letters is not None
        self.dead = self.queue.dead_letters
        self.sessions, self.buried = sessions, buried
        self.sent: set[str] = set()
        self.done: set[str] = set()
        self.mortal: set[str] = set()
        self.held: dict[bytes, str] = {}
        self.holds: list = []

    def tick(self) -> None:
        self.queue.tick()
        self.dead.tick()

    @rule(
        session=st.sampled_from("ab"),
        ttl_ms=st.sampled_from((None, 500, 5000)),
        delay_ms=st.sampled_from((0, 0, 700)),
    )
    def send(self, session: str, ttl_ms: int | None, delay_ms: int) -> None:
        message = make_message(len(self.sent), session=session if self.sessions else None, ttl_ms=ttl_ms)
        if delay_ms:
            self.queue.schedule(message, self.clock() + delay_ms)
        else:
            self.queue.send(message)
        self.sent.add(message.message_id or "")
        if ttl_ms is not None:
            self.mortal.add(message.message_id or "")

    @rule(session=st.sampled_from(("a", "b", None)))
    def hold_session(self, session: str | None) -> None:
        if self.sessions:
            self.tick()
            try:
                hold = self.queue.lock_session(session)
            except BusError:
                return
            if hold is not None:
                self.holds.append(hold)

    @precondition(lambda self: self.holds)
    @rule(data=st.data())
    def release_session(self, data: st.DataObject) -> None:
        self.queue.release_session(self.holds.pop(data.draw(st.integers(0, len(self.holds) - 1))))

    @rule(data=st.data(), delete=st.booleans())
    def take(self, data: st.DataObject, delete: bool) -> None:
        self.tick()
        live = [hold for hold in self.holds if not hold.is_lost]
        if self.sessions and not live:
            return
        hold = live[data.draw(st.integers(0, len(live) - 1))] if self.sessions else None
        if delete:
            stored = self.queue.take_and_delete(hold)
            if stored is not None:
                self.done.add(stored.message.message_id or "")
            return
        stored = self.queue.take(hold)
        if stored is not None:
            assert stored.token is not None
            assert stored.token not in self.held
            assert stored.locked_until_ms is not None
            assert stored.delivery_count < MAX_DELIVERIES
            self.held[stored.token] = stored.message.message_id or ""

    @precondition(lambda self: self.held)
    @rule(
        data=st.data(),
        how=st.sampled_from(("complete", "abandon", "defer", "dead_letter", "release", "renew")),
    )
    def settle(self, data: st.DataObject, how: str) -> None:
        self.tick()
        token = list(self.held)[
            data.draw(st.integers(0, len(self.held) - 1))
        ]  # tokens are random, their order is not
        try:
            if how == "dead_letter":
                self.queue.dead_letter(token, "r", "d")
            else:
                getattr(self.queue, how)(token)
        except BusError as exc:
            assert exc.status == 410  # noqa: PT017  (either is right here: the lock may have ended)
            self.held.pop(token)
            return
        if how == "renew":
            return
        message_id = self.held.pop(token)
        if how == "complete":
            self.done.add(message_id)
        with pytest.raises(BusError):
            self.queue.complete(token)

    @precondition(lambda self: any(one.state is State.DEFERRED for one in self.queue.peek(0, 99)))
    @rule(data=st.data())
    def take_deferred(self, data: st.DataObject) -> None:
        self.tick()
        numbers = [
            one.sequence
            for one in self.queue.peek(0, 99)
            if one.state is State.DEFERRED and one.token is None
        ]
        if not numbers:
            return
        (stored,) = self.queue.take_deferred(
            [data.draw(st.sampled_from(numbers))], delete=False, session_id=None
        )
        assert stored.token is not None
        self.held[stored.token] = stored.message.message_id or ""

    @rule(ms=st.sampled_from((1, 300, LOCK_MS, 10_000)))
    def wait(self, ms: int) -> None:
        self.clock.ms += ms

    @rule()
    def take_dead_letter(self) -> None:
        self.tick()
        stored = self.dead.take_and_delete()
        if stored is not None:
            self.done.add(stored.message.message_id or "")

    @invariant()
    def every_message_is_somewhere_once(self) -> None:
        if not hasattr(self, "queue"):
            return
        self.tick()
        kept = Counter(
            one.message.message_id for queue in (self.queue, self.dead) for one in queue.peek(0, 999)
        )
        assert all(count == 1 for count in kept.values())
        assert not self.done & kept.keys()
        missing = self.sent - self.done - kept.keys()
        assert missing <= (set() if self.buried else self.mortal)

    @invariant()
    def numbers_grow_and_bytes_add_up(self) -> None:
        if not hasattr(self, "queue"):
            return
        for queue in (self.queue, self.dead):
            found = queue.peek(0, 999)
            assert [one.sequence for one in found] == sorted(one.sequence for one in found)
            assert queue._bytes == sum(one.message.size_bytes for one in found)
        due = self.queue.next_due_ms()
        assert due is None or due > self.clock()

    @invariant()
    def sessions_that_are_over_are_forgotten(self) -> None:
        if hasattr(self, "queue"):
            known = self.queue.sessions._all.values()
            assert all(one.messages or one.locked_until_ms is not None for one in known)


QueueMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
test_queue_machine = QueueMachine.TestCase


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def space(clock: Clock) -> Namespace:
    return Namespace(clock)


def taken(queue: MessageQueue) -> tuple[bytes, int]:
    """The lock and the delivery count of the next message."""
    queue.tick()
    stored = queue.take()
    assert stored is not None
    assert stored.token is not None
    return stored.token, stored.delivery_count


def test_an_abandoned_message_comes_before_younger_ones(space: Namespace) -> None:
    queue = space.ensure_queue("q")
    numbers = [queue.send(make_message(number)) for number in range(3)]
    first, second = queue.take(), queue.take()
    assert first is not None
    assert second is not None
    queue.abandon(second.token or b"")
    queue.abandon(first.token or b"")
    assert [stored.sequence for stored in (queue.take(), queue.take(), queue.take()) if stored] == numbers


def test_releasing_counts_no_attempt_and_expiring_counts_one(space: Namespace, clock: Clock) -> None:
    queue = space.ensure_queue("q", QueueSettings(lock_ms=LOCK_MS))
    queue.send(make_message(1))
    queue.release(taken(queue)[0])
    token, count = taken(queue)
    assert count == 0
    clock.ms += LOCK_MS
    assert taken(queue)[1] == 1
    with pytest.raises(MessageLockLostError):
        queue.complete(token)


def test_a_locked_message_does_not_expire_before_its_lock(space: Namespace, clock: Clock) -> None:
    queue = space.ensure_queue("q", QueueSettings(lock_ms=LOCK_MS))
    queue.send(make_message(1, ttl_ms=LOCK_MS // 2))
    token, _ = taken(queue)
    clock.ms += LOCK_MS // 2
    queue.tick()
    queue.complete(token)
    queue.send(make_message(2, ttl_ms=LOCK_MS // 2))
    taken(queue)
    clock.ms += LOCK_MS
    queue.tick()
    assert len(queue) == 0


def test_the_shorter_life_counts(space: Namespace, clock: Clock) -> None:
    queue = space.ensure_queue("q", QueueSettings(ttl_ms=1000))
    queue.send(make_message(1, ttl_ms=5000))
    queue.send(make_message(2, ttl_ms=300))
    clock.ms += 300
    queue.tick()
    assert [one.message.message_id for one in queue.peek(0, 9)] == ["m1"]
    clock.ms += 700
    queue.tick()
    assert len(queue) == 0


def test_a_repeat_is_taken_again_after_the_window(space: Namespace, clock: Clock) -> None:
    queue = space.ensure_queue("q", QueueSettings(duplicate_window_ms=1000))
    assert queue.send(make_message(1)) is not None
    clock.ms += 999
    assert queue.send(make_message(1)) is None
    clock.ms += 1
    assert queue.send(make_message(1)) is not None


def test_a_full_entity_takes_no_more(space: Namespace) -> None:
    size = make_message(1).size_bytes
    queue = space.ensure_queue("q", QueueSettings(max_entity_bytes=2 * size))
    queue.send(make_message(1))
    queue.send(make_message(2))
    with pytest.raises(QuotaError):
        queue.send(make_message(3))
    queue.complete(taken(queue)[0])
    queue.send(make_message(4))


@pytest.mark.parametrize("field", ["message_id", "group_id"])
def test_an_id_that_is_too_long_is_refused(space: Namespace, field: str) -> None:
    queue = space.ensure_queue("q")
    queue.send(make_message(1).with_properties({field: "x" * 128}))
    with pytest.raises(OutOfRangeError):
        queue.send(make_message(1).with_properties({field: "x" * 129}))


def test_forwarding_goes_on_and_stops_at_a_loop(space: Namespace) -> None:
    space.ensure_queue("a", QueueSettings(forward_to="b"))
    space.ensure_queue("b", QueueSettings(forward_to="c"))
    last = space.ensure_queue("c")
    first = space.ensure_queue("a")
    first.send(make_message(1))
    assert (len(first), len(last)) == (0, 1)
    ring = space.ensure_queue("ring", QueueSettings(forward_to="ring"))
    ring.send(make_message(2))
    assert ring.transfer_dead_letters is not None
    (stuck,) = ring.transfer_dead_letters.peek(0, 9)
    assert stuck.message.application is not None
    assert "forwarded" in str(stuck.message.application["DeadLetterErrorDescription"])
    lost = space.ensure_queue("lost", QueueSettings(forward_to="nowhere"))
    lost.send(make_message(3))
    assert len(space.receivable("lost/$Transfer/$DeadLetterQueue")) == 1


def test_dead_letters_can_be_forwarded(space: Namespace) -> None:
    queue = space.ensure_queue("q", QueueSettings(forward_dead_letters_to="graves"))
    graves = space.ensure_queue("graves")
    queue.send(make_message(1))
    queue.dead_letter(taken(queue)[0], "why", None)
    (dead,) = graves.peek(0, 9)
    assert dead.message.application == {"DeadLetterReason": "why"}


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("q", "q"),
        ("amqps://127.0.0.1:5672/Q", "q"),
        ("q/$DeadLetterQueue", "q/$DeadLetterQueue"),
        ("Q/$deadletterqueue", "q/$DeadLetterQueue"),
        ("q/$Transfer/$DeadLetterQueue", "q/$Transfer/$DeadLetterQueue"),
        ("a/b/Subscriptions/s", "a/b/Subscriptions/s"),
        ("A/B/subscriptions/S/$DeadLetterQueue", "a/b/Subscriptions/s/$DeadLetterQueue"),
    ],
)
def test_an_address_means_an_entity(space: Namespace, address: str, name: str) -> None:
    space.ensure_queue("q")
    space.ensure_subscription("a/b", "s")
    assert space.receivable(address).name == name


@pytest.mark.parametrize(
    "address",
    ["", "x", "q/Subscriptions/s", "t/Subscriptions/x", "t", "$DeadLetterQueue", "t/$DeadLetterQueue"],
)
def test_other_addresses_are_refused(space: Namespace, address: str) -> None:
    space.ensure_queue("q")
    space.ensure_topic("t")
    with pytest.raises(BusError):
        space.receivable(address)


@pytest.mark.parametrize("address", ["q/$DeadLetterQueue", "t/Subscriptions/s"])
def test_nothing_can_be_sent_to_what_only_gives(space: Namespace, address: str) -> None:
    space.ensure_queue("q")
    space.ensure_subscription("t", "s")
    with pytest.raises(NotAllowedError):
        space.sendable(address)


@pytest.mark.parametrize("name", ["", "/x", "x/", "a b", "ü", "$x", "x" * 300])
def test_a_bad_name_makes_no_entity(space: Namespace, name: str) -> None:
    with pytest.raises(BusError):
        space.ensure_queue(name)


def test_what_is_delivered_reads_back_with_its_sections(space: Namespace) -> None:
    queue = space.ensure_queue("q")
    message = make_message(1, session="s", ttl_ms=5000).with_application({"a": 1})
    queue.send(parse_message(message.encode()))
    stored = queue.take()
    assert stored is not None
    read = parse_message(stored.encode(with_state=True, with_token=True))
    assert read.bare() == message.bare()
    assert read.ttl_ms == 5000
    assert read.annotation("x-opt-sequence-number") == stored.sequence
    assert read.annotation("x-opt-locked-until") == stored.locked_until_ms
