"""The server's answers, frame by frame: what it says to requests, outcomes and faults."""

from __future__ import annotations

import time
from uuid import uuid4

import pytest
from tests.packager.devbus.raw_client import DATA, QUEUE, Client, still_served, transfer

from fnpack.devbus.amqp.encode import encode
from fnpack.devbus.amqp.frames import AMQP_HEADER, SASL, SASL_HEADER, Frame, encode_frame
from fnpack.devbus.amqp.message import body_value, parse_message
from fnpack.devbus.amqp.performatives import (
    ACCEPTED,
    ATTACH,
    BEGIN,
    CLOSE,
    DETACH,
    DISPOSITION,
    FLOW,
    OPEN,
    PROPERTIES,
    REJECTED,
    RELEASED,
    SASL_INIT,
    TRANSFER,
)
from fnpack.devbus.amqp.types import Described, Fields, Symbol, UByte, UInt, ULong, Value
from fnpack.devbus.entities.stored import State

pytestmark = pytest.mark.usefixtures("queue")


def test_every_answer_has_all_its_fields_and_repeats_the_address(connected: Client) -> None:
    connected.send(SASL_HEADER)
    assert connected.read() == SASL_HEADER
    connected.expect(0x40)
    connected.send(encode_frame(0, SASL_INIT.write(mechanism=Symbol("ANONYMOUS")), kind=SASL))
    assert connected.expect(0x44) == [0, None]
    connected.begins_anew()
    connected.send(AMQP_HEADER)
    connected.frame(OPEN.write(container_id="c", hostname="h"))
    assert connected.read() == AMQP_HEADER
    opened = connected.expect(OPEN.code)
    assert (len(opened), opened[2] >= 512) == (10, True)
    connected.frame(BEGIN.write(next_outgoing_id=UInt(0), incoming_window=UInt(9), outgoing_window=UInt(9)))
    begun = connected.expect(BEGIN.code)
    assert (len(begun), begun[0]) == (8, 0)
    address = f"amqps://127.0.0.1:5671/{QUEUE.upper()}"
    attached = connected.attach(address, receives=True, rcv_settle_mode=UByte(1), snd_settle_mode=UByte(0))
    assert len(attached) == 14
    assert attached[5].value[0] == address
    assert (len(attached[5].value), len(attached[6].value)) == (11, 7)
    assert (attached[2], attached[3], attached[4], attached[9]) == (False, 0, 1, 0)
    assert attached[10] == 256 * 1024
    connected.credit(5, drain=True)
    flow = connected.expect(FLOW.code)
    assert (len(flow), flow[5], flow[6], flow[8]) == (11, 5, 0, True)
    connected.frame(DETACH.write(handle=UInt(0), closed=True))
    assert connected.expect(DETACH.code) == [0, True, None]
    connected.frame(CLOSE.write())
    assert connected.expect(CLOSE.code) == [None]
    assert connected.read() is None


def test_a_link_that_fails_is_attached_without_ends_and_detached_with_an_error(connected: Client) -> None:
    connected.begin()
    attached = connected.attach("nowhere", receives=True)
    assert (attached[5], attached[6]) == (None, None)
    _, closed, fault = connected.expect(DETACH.code)
    assert closed is True
    assert fault.value[0] == "amqp:not-found"
    connected.credit(5)  # was on its way; no harm
    connected.frame(DETACH.write(handle=UInt(0), closed=True))
    assert connected.attach(QUEUE)[6] is not None


def test_transactions_are_said_to_be_unsupported(connected: Client) -> None:
    connected.begin()
    coordinator = Described(ULong(0x30), [])
    connected.frame(ATTACH.write(name="tx", handle=UInt(0), role=False, target=coordinator))
    assert connected.expect(DETACH.code)[2].value[0] == "amqp:not-implemented"


def ask(client: Client, operation: str, body: Fields) -> tuple[int, Value]:
    """Status and body of a management answer; the links are those of handles 0 and 1."""
    sections = (
        PROPERTIES.write(message_id="r", reply_to="here"),
        Described(ULong(0x74), {"operation": f"com.microsoft:{operation}"}),
        Described(ULong(0x77), body),
    )
    client.frame(transfer(), b"".join(map(encode, sections)))
    while True:
        item = client.read()
        assert item is not None
        if isinstance(item, Frame) and item.code == TRANSFER.code:
            answer = parse_message(item.payload)
            assert answer.application is not None
            assert answer.value_of("correlation_id") == "r"
            status = answer.application["statusCode"]
            assert isinstance(status, int)
            return status, body_value(answer)


def test_rules_are_added_listed_and_removed(bus, connected: Client) -> None:
    bus.ensure_subscription("topic", "rules")
    node = "topic/Subscriptions/rules/$management"
    connected.begin()
    connected.attach(node, handle=0)
    connected.attach(node, handle=1, receives=True)
    connected.credit(100, handle=1)
    sql: Fields = {"sql-filter": {"expression": "a = 1"}, "sql-rule-action": {"expression": "SET b = 2"}}
    assert ask(connected, "add-rule", {"rule-name": "one", "rule-description": sql})[0] == 200
    assert ask(connected, "add-rule", {"rule-name": "one", "rule-description": sql})[0] == 409
    bad: Fields = {"sql-filter": {"expression": "a ="}}
    assert ask(connected, "add-rule", {"rule-name": "two", "rule-description": bad})[0] == 400
    some: Fields = {"correlation-filter": {"label": "x", "properties": {"k": 1}}}
    assert ask(connected, "add-rule", {"rule-name": "three", "rule-description": some})[0] == 200
    assert ask(connected, "remove-rule", {"rule-name": "$Default"})[0] == 200
    assert ask(connected, "remove-rule", {"rule-name": "$Default"})[0] == 404
    status, body = ask(connected, "enumerate-rules", {"top": 10, "skip": 0})
    assert status == 200
    assert isinstance(body, dict)
    rules = body["rules"]
    assert isinstance(rules, list)
    assert "'one'" in str(rules[0])
    assert "'x'" in str(rules[1])
    assert bus.call(lambda service: list(service.ensure_subscription("topic", "rules").rules)) == [
        "one",
        "three",
    ]


@pytest.mark.parametrize(
    ("operation", "body", "status"),
    [
        ("renew-lock", {"lock-tokens": [uuid4()]}, 410),
        ("renew-lock", {"lock-tokens": ["x"]}, 400),
        ("renew-lock", {}, 400),
        ("update-disposition", {"lock-tokens": [uuid4()], "disposition-status": "completed"}, 410),
        ("update-disposition", {"lock-tokens": [uuid4()], "disposition-status": "lost"}, 400),
        ("peek-message", {"from-sequence-number": "x"}, 400),
        ("peek-message", {"from-sequence-number": 2**60, "message-count": 5}, 204),
        ("receive-by-sequence-number", {"sequence-numbers": [5]}, 404),
        ("schedule-message", {"messages": [{"message": b"garbage"}]}, 400),
        ("schedule-message", {"messages": [{"message": DATA}]}, 400),
        ("cancel-scheduled-message", {"sequence-numbers": [1.5]}, 400),
        ("get-session-state", {"session-id": "s"}, 410),
        ("renew-session-lock", {}, 400),
        ("get-message-sessions", {}, 400),
        ("add-rule", {}, 400),
        ("no-such-thing", {}, 400),
    ],
)
def test_a_wrong_request_is_answered_with_its_status(
    connected: Client, operation: str, body: Fields, status: int
) -> None:
    connected.begin()
    connected.attach(f"{QUEUE}/$management", handle=0)
    connected.attach(f"{QUEUE}/$management", handle=1, receives=True)
    connected.credit(10, handle=1)
    assert ask(connected, operation, body)[0] == status


def test_a_message_in_many_parts_arrives_whole(bus, connected: Client) -> None:
    connected.begin()
    connected.attach()
    message = encode(Described(ULong(0x75), bytes(range(256)) * 100))
    parts = [message[start : start + 600] for start in range(0, len(message), 600)]
    for part in parts[:-1]:
        connected.frame(transfer(more=True), part)
    connected.frame(transfer(), parts[-1])
    connected.expect(DISPOSITION.code)
    stored = bus.call(lambda service: service.ensure_queue(QUEUE).take_and_delete())
    assert stored.message.raw_body == message


def test_an_aborted_message_never_was(bus, connected: Client) -> None:
    connected.begin()
    connected.attach()
    connected.frame(transfer(0, more=True), DATA)
    connected.frame(transfer(0, aborted=True))
    connected.frame(transfer(1), DATA)
    assert connected.expect(DISPOSITION.code)[1] == 1
    stored = bus.call(lambda service: service.ensure_queue(QUEUE).take_and_delete())
    assert stored.message.raw_body == DATA


def test_a_message_without_end_is_dropped_as_it_comes(bus, connected: Client) -> None:
    connected.begin()
    connected.attach()
    with still_served(bus):
        for _ in range(200):  # 12 MB for a link that takes 256 KB
            connected.frame(transfer(more=True), bytes(60_000))
        kept = bus.call(lambda service: max(one.pending_bytes() for one in service.broker.connections))
        assert kept <= 256 * 1024
        connected.frame(transfer(), b"x")
        state = connected.expect(DISPOSITION.code)[4]
        assert state.value[0].value[0] == "amqp:link:message-size-exceeded"


def test_many_messages_begun_at_once_are_too_much(bus, connected: Client) -> None:
    connected.begin()
    for handle in range(60):
        connected.attach(handle=handle)
    with still_served(bus):
        try:
            for handle in range(60):
                for _ in range(4):
                    connected.frame(transfer(handle=handle, more=True), bytes(60_000))
        except OSError:
            pass
        last = connected.until_over()
        assert last is None or last.code == CLOSE.code


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"garbage",
        encode(Described(ULong(0x73), [1.5])) + DATA,
        DATA[:-1],
        encode(Described(ULong(0x78), {}))[:2],
    ],
)
def test_a_message_that_is_no_message_is_rejected(connected: Client, payload: bytes) -> None:
    connected.begin()
    connected.attach()
    connected.frame(transfer(), payload)
    state = connected.expect(DISPOSITION.code)[4]
    assert state.value[0].value[0] == "amqp:decode-error"


def test_a_bad_message_in_a_batch_rejects_all_of_it(bus, connected: Client) -> None:
    connected.begin()
    connected.attach()
    batch = b"".join(encode(Described(ULong(0x75), one)) for one in (DATA, b"garbage"))
    connected.frame(transfer(message_format=UInt(0x80013700)), batch)
    assert connected.expect(DISPOSITION.code)[4] != ACCEPTED.write()
    assert bus.call(lambda service: len(service.ensure_queue(QUEUE))) == 0


def test_a_disposition_of_all_numbers_is_no_work(bus, connected: Client) -> None:
    connected.begin()
    connected.attach(receives=True, handle=0)
    with still_served(bus):
        began = time.perf_counter()
        last = UInt(2**32 - 1)
        connected.frame(
            DISPOSITION.write(role=True, first=UInt(0), last=last, settled=True, state=ACCEPTED.write())
        )
        connected.credit(0, echo=True)
        connected.expect(FLOW.code)
        assert time.perf_counter() - began < 2


FAILED = Described(ULong(0x27), [True, False, None])
DEFERRED = Described(ULong(0x27), [True, True, None])
BURIED = Described(
    ULong(0x25),
    [
        Described(
            ULong(0x1D), [Symbol("com.microsoft:dead-letter"), None, {Symbol("DeadLetterReason"): "why"}]
        )
    ],
)


@pytest.mark.parametrize(
    ("outcome", "answer", "count", "state"),
    [
        (ACCEPTED.write(), ACCEPTED.write(), None, None),
        (RELEASED.write(), RELEASED.write(), 0, State.ACTIVE),
        (FAILED, FAILED, 1, State.ACTIVE),
        (DEFERRED, DEFERRED, 0, State.DEFERRED),
        (BURIED, REJECTED.write(), None, None),
    ],
    ids=["accepted", "released", "modified", "deferred", "rejected"],
)
def test_each_outcome_is_done_and_confirmed_with_its_own_kind(
    bus, connected: Client, outcome: Described, answer: Described, count: int | None, state: State | None
) -> None:
    name = bus.ensure_queue(f"outcomes-{uuid4().hex[:8]}")
    connected.begin()
    connected.attach(name)
    connected.frame(transfer(), DATA)
    connected.attach(name, receives=True, handle=1)
    connected.credit(1, handle=1)
    delivery = connected.expect(TRANSFER.code)
    assert len(delivery[2]) == 16
    connected.frame(DISPOSITION.write(role=True, first=delivery[1], settled=False, state=outcome))
    confirmed = connected.expect(DISPOSITION.code)
    while confirmed[0] is True:  # the one for what was sent
        confirmed = connected.expect(DISPOSITION.code)
    assert (confirmed[1], confirmed[3], confirmed[4]) == (delivery[1], True, answer)
    left = bus.call(lambda service: service.ensure_queue(name).peek(0, 9))
    assert [(one.delivery_count, one.state) for one in left] == ([] if state is None else [(count, state)])
    dead = bus.call(lambda service: len(service.ensure_queue(name).dead_letters or ()))
    assert dead == (outcome is BURIED)


def test_an_outcome_for_a_lock_that_is_lost_is_refused_with_the_reason(bus, connected: Client) -> None:
    name = bus.ensure_queue(f"lost-{uuid4().hex[:8]}")
    connected.begin()
    connected.attach(name)
    connected.frame(transfer(), DATA)
    connected.expect(DISPOSITION.code)
    connected.attach(name, receives=True, handle=1)
    connected.credit(1, handle=1)
    delivery = connected.expect(TRANSFER.code)
    bus.call(lambda service: service.lose_locks(name))
    connected.frame(DISPOSITION.write(role=True, first=delivery[1], settled=False, state=ACCEPTED.write()))
    state = connected.expect(DISPOSITION.code)[4]
    assert isinstance(state, Described)
    assert b"com.microsoft:message-lock-lost" in encode(state)
