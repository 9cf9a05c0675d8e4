"""The server and its worst clients: whatever one sends, the others go on, and memory stays bounded."""

from __future__ import annotations

import random
import select
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import pytest

from fnpack.devbus.amqp.encode import encode
from fnpack.devbus.amqp.frames import AMQP_HEADER, SASL, SASL_HEADER, Frame, FrameReader, encode_frame
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
    SOURCE,
    TARGET,
    TRANSFER,
)
from fnpack.devbus.amqp.types import Described, Fields, Symbol, UByte, UInt, ULong, UShort, Value
from fnpack.devbus.entities.settings import QueueSettings
from fnpack.devbus.entities.stored import State
from fnpack.devbus.server import DevBus
from fnpack.devbus.thread import DevBusThread
from fnpack.devbus.wire.broker import Limits

QUEUE = "q"
DATA = encode(Described(ULong(0x75), b"hello"))


class Client:
    """A client that says what it likes, frame by frame."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self._reader = FrameReader(2**20)
        self._items: list[bytes | Frame] = []
        self.is_over = False

    def send(self, *parts: bytes) -> None:
        self.socket.sendall(b"".join(parts))

    def frame(self, performative: Described, payload: bytes = b"", channel: int = 0) -> None:
        self.send(encode_frame(channel, performative, payload))

    def read(self) -> bytes | Frame | None:
        """The next header or frame; None once the server has closed."""
        while not self._items:
            data = self.socket.recv(65536)
            if not data:
                self.is_over = True
                return None
            self._reader.feed(data)
            self._items += self._reader.items()
        return self._items.pop(0)

    def begins_anew(self) -> None:
        """After SASL comes another protocol header."""
        self._reader.expect_header()

    def expect(self, code: int) -> list:
        """The fields of the next frame with that code; others are passed over."""
        while True:
            item = self.read()
            assert item is not None, "the server has closed"
            if isinstance(item, Frame) and item.code == code:
                assert isinstance(item.fields, list)
                return item.fields

    def until_over(self) -> Frame | None:
        """Read to the end: the last frame."""
        last = None
        try:
            while (item := self.read()) is not None:
                last = item if isinstance(item, Frame) else last
        except ConnectionResetError:
            self.is_over = True
        return last

    def open(self) -> None:
        self.send(AMQP_HEADER)
        self.frame(OPEN.write(container_id="c", hostname="h"))
        self.expect(OPEN.code)

    def begin(self) -> None:
        self.open()
        self.frame(
            BEGIN.write(next_outgoing_id=UInt(0), incoming_window=UInt(100), outgoing_window=UInt(100))
        )
        self.expect(BEGIN.code)

    def attach(self, address: str = QUEUE, *, handle: int = 0, receives: bool = False, **more) -> list:
        node = SOURCE if receives else TARGET
        end = {("source" if receives else "target"): node.write(address=address)}
        self.frame(ATTACH.write(name=f"l{handle}", handle=UInt(handle), role=receives, **end, **more))
        return self.expect(ATTACH.code)

    def credit(self, amount: int, handle: int = 0, **more) -> None:
        window = {"incoming_window": UInt(1000), "outgoing_window": UInt(1000), "next_outgoing_id": UInt(0)}
        self.frame(
            FLOW.write(
                **window, handle=UInt(handle), delivery_count=UInt(0), link_credit=UInt(amount), **more
            )
        )


def transfer(number: int = 0, handle: int = 0, **more) -> Described:
    return TRANSFER.write(handle=UInt(handle), delivery_id=UInt(number), delivery_tag=b"t", **more)


@pytest.fixture(scope="module", autouse=True)
def queue(bus) -> None:
    bus.ensure_queue(QUEUE, QueueSettings(lock_ms=600_000))


@pytest.fixture
def connected(bus) -> Iterator[Client]:
    client = Client(bus.port)
    yield client
    client.socket.close()


@contextmanager
def still_served(bus: DevBusThread) -> Iterator[None]:
    """Another client, connected all the while, is served as before."""
    other = Client(bus.port)
    other.begin()
    other.attach(handle=0)
    yield
    other.frame(transfer(), DATA)
    assert other.expect(DISPOSITION.code)[4] == ACCEPTED.write()
    other.socket.close()
    bus.call(lambda service: [service.ensure_queue(QUEUE).take_and_delete() for _ in range(100)])


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


HOSTILE = {
    "another protocol": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(600),
    "a huge frame": AMQP_HEADER + struct.pack(">IBBH", 2**31, 2, 0, 0),
    "a tiny frame": AMQP_HEADER + struct.pack(">IBBH", 4, 2, 0, 0),
    "a bad offset": AMQP_HEADER + struct.pack(">IBBH", 16, 200, 0, 0) + bytes(8),
    "begin before open": AMQP_HEADER + encode_frame(0, BEGIN.write()),
    "open twice": AMQP_HEADER + encode_frame(0, OPEN.write(container_id="x")) * 2,
    "an open of nothing": AMQP_HEADER + encode_frame(0, Described(ULong(0x10), [])),
    "an unknown performative": AMQP_HEADER
    + encode_frame(0, OPEN.write(container_id="x"))
    + encode_frame(0, Described(ULong(0x99), [])),
    "frames too small": AMQP_HEADER + encode_frame(0, OPEN.write(container_id="x", max_frame_size=UInt(1))),
    "a channel too high": AMQP_HEADER
    + encode_frame(0, OPEN.write(container_id="x"))
    + encode_frame(
        9999, BEGIN.write(next_outgoing_id=UInt(0), incoming_window=UInt(1), outgoing_window=UInt(1))
    ),
    "a wrong mechanism": SASL_HEADER + encode_frame(0, SASL_INIT.write(mechanism=Symbol("X")), kind=SASL),
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_client_that_breaks_the_rules_is_closed_and_others_go_on(
    bus, connected: Client, data: bytes
) -> None:
    with still_served(bus):
        connected.send(data)
        connected.until_over()
        assert connected.is_over


def conversation() -> list[bytes]:
    """The frames of a client that sends, receives and settles, and asks for its tokens."""
    begin = {"next_outgoing_id": UInt(0), "incoming_window": UInt(100), "outgoing_window": UInt(100)}
    flow = {**begin, "handle": UInt(1), "delivery_count": UInt(0), "link_credit": UInt(10)}
    request = encode(Described(ULong(0x74), {"operation": "com.microsoft:peek-message"}))
    request += encode(Described(ULong(0x77), {"from-sequence-number": 0, "message-count": 5}))
    performatives: list[tuple[Described, bytes]] = [
        (OPEN.write(container_id="c", channel_max=UShort(9)), b""),
        (BEGIN.write(**begin), b""),
        (ATTACH.write(name="a", handle=UInt(0), role=False, target=TARGET.write(address=QUEUE)), b""),
        (ATTACH.write(name="b", handle=UInt(1), role=True, source=SOURCE.write(address=QUEUE)), b""),
        (
            ATTACH.write(
                name="c", handle=UInt(2), role=False, target=TARGET.write(address=f"{QUEUE}/$management")
            ),
            b"",
        ),
        (
            ATTACH.write(
                name="d", handle=UInt(3), role=True, source=SOURCE.write(address=f"{QUEUE}/$management")
            ),
            b"",
        ),
        (FLOW.write(**flow), b""),
        (FLOW.write(**{**flow, "handle": UInt(3)}), b""),
        (transfer(0), DATA),
        (transfer(1, message_format=UInt(0x80013700)), encode(Described(ULong(0x75), DATA)) * 3),
        (transfer(2, handle=2), request),
        (DISPOSITION.write(role=True, first=UInt(0), last=UInt(1), state=ACCEPTED.write()), b""),
        (DETACH.write(handle=UInt(0), closed=True), b""),
        (CLOSE.write(), b""),
    ]
    return [AMQP_HEADER, *(encode_frame(0, performative, payload) for performative, payload in performatives)]


def talk(port: int, data: bytes) -> None:
    """Say it all, and hang up."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        try:
            while client.recv(65536):
                pass
        except ConnectionError:
            pass


def test_the_conversation_is_right_before_it_is_spoilt(bus, caplog) -> None:
    with still_served(bus):
        talk(bus.port, b"".join(conversation()))
    assert not caplog.records


def test_conversations_with_spoilt_bytes_leave_the_server_well(bus, caplog) -> None:
    dice = random.Random(20)
    with still_served(bus):
        for _ in range(300):
            data = bytearray(b"".join(conversation()))
            for _ in range(dice.choice((1, 1, 2, 8))):
                data[dice.randrange(len(data))] = dice.randrange(256)
            talk(bus.port, bytes(data))
    assert not caplog.records  # a bug would have been logged


def test_conversations_out_of_order_leave_the_server_well(bus, caplog) -> None:
    dice = random.Random(21)
    with still_served(bus):
        for _ in range(200):
            header, opening, beginning, *rest = conversation()
            frames = dice.choices(rest, k=dice.randrange(1, 25))
            talk(bus.port, b"".join((header, opening, beginning, *frames)))
    assert not caplog.records


def test_random_bytes_leave_the_server_well(bus, caplog) -> None:
    dice = random.Random(22)
    with still_served(bus):
        for _ in range(100):
            talk(
                bus.port,
                dice.choice((b"", AMQP_HEADER, SASL_HEADER)) + dice.randbytes(dice.randrange(1, 400)),
            )
    assert not caplog.records


def test_a_client_that_does_not_read_holds_nobody_up(bus, connected: Client) -> None:
    bus.ensure_queue("firehose")
    connected.begin()
    connected.attach("firehose", receives=True, handle=1)
    connected.credit(100_000, handle=1)
    message = encode(Described(ULong(0x75), bytes(60_000)))
    with still_served(bus):
        sender = Client(bus.port)
        sender.begin()
        sender.attach("firehose")
        for number in range(300):  # 18 MB towards somebody who does not read
            sender.frame(transfer(number), message)
            sender.expect(DISPOSITION.code)
        waiting = bus.call(lambda service: max(one._out_bytes for one in service.broker.connections))
        assert waiting < 2**20
        sender.socket.close()


def test_a_client_that_says_nothing_is_let_go() -> None:
    with DevBusThread(limits=Limits(open_timeout_s=0.2)) as bus:
        silent = Client(bus.port)
        silent.until_over()
        assert silent.is_over
        silent.socket.close()


def test_a_client_that_drips_its_bytes_is_let_go_as_well() -> None:
    with DevBusThread(limits=Limits(open_timeout_s=0.5)) as bus:
        slow, began = Client(bus.port), time.monotonic()
        opening = AMQP_HEADER + encode_frame(0, OPEN.write(container_id="slow" * 50))
        try:
            for byte in opening:
                slow.send(bytes([byte]))
                if wait_readable(slow.socket, 0.05) and not slow.socket.recv(65536):
                    break
        except ConnectionError:
            pass
        assert time.monotonic() - began < 5  # all of it would take ten seconds
        assert bus.call(lambda service: len(service.broker.connections)) == 0
        slow.socket.close()


def test_a_crowd_of_clients_that_stop_half_way_holds_nobody_up(bus) -> None:
    before = bus.call(lambda service: len(service.broker.connections))
    with still_served(bus):
        crowd = [Client(bus.port) for _ in range(200)]
        for number, client in enumerate(crowd):
            client.send((AMQP_HEADER, SASL_HEADER, b"", AMQP_HEADER + b"\x00\x00\x10")[number % 4])
        for client in crowd[::2]:
            client.socket.close()
        for client in crowd[1::2]:  # without a word, as a machine that is switched off
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.socket.close()
    deadline = time.monotonic() + 10
    while bus.call(lambda service: len(service.broker.connections)) > before:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def wait_readable(connection: socket.socket, timeout_s: float) -> bool:
    return bool(select.select([connection], [], [], timeout_s)[0])


def test_there_are_only_so_many_connections() -> None:
    with DevBusThread(limits=Limits(max_connections=2)) as bus:
        first, second = Client(bus.port), Client(bus.port)
        first.begin()
        second.begin()
        third = Client(bus.port)
        third.until_over()
        assert third.is_over
        second.attach("nowhere")
        for client in (first, second, third):
            client.socket.close()


def test_a_client_that_asks_for_heartbeats_gets_them(connected: Client) -> None:
    connected.send(AMQP_HEADER)
    connected.frame(OPEN.write(container_id="c", idle_time_out=UInt(200)))
    connected.expect(OPEN.code)
    beat = connected.read()
    assert isinstance(beat, Frame)
    assert beat.code == -1


async def test_it_listens_on_the_loopback_only_and_frees_its_port() -> None:
    bus = DevBus()
    text = await bus.start()
    assert text == (
        f"Endpoint=sb://127.0.0.1:{bus.port};SharedAccessKeyName=RootManageSharedAccessKey;"
        "SharedAccessKey=SAS_KEY_VALUE;UseDevelopmentEmulator=true;"
    )
    port = bus.port
    await bus.stop()
    again = DevBus()
    await again.start(port)
    assert again.port == port
    await again.stop()


def test_stopping_does_not_wait_for_clients() -> None:
    bus = DevBusThread()
    bus.start()
    clients = [Client(bus.port) for _ in range(3)]
    clients[0].begin()
    began = time.perf_counter()
    bus.stop()
    assert time.perf_counter() - began < 2
    last = clients[0].until_over()
    assert last is not None
    assert last.code == CLOSE.code
    for client in clients:
        client.socket.close()


def test_a_port_that_is_taken_is_an_error(bus) -> None:
    with pytest.raises(OSError, match="in use"):
        DevBusThread(port=bus.port).start()
