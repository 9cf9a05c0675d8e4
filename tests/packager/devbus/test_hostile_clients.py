"""The server and its worst clients: whatever one sends, the others go on, and memory stays bounded."""

from __future__ import annotations

import random
import select
import socket
import struct
import time

import pytest
from tests.packager.devbus.raw_client import DATA, QUEUE, Client, still_served, transfer

from fnpack.devbus.amqp.encode import encode
from fnpack.devbus.amqp.frames import AMQP_HEADER, SASL, SASL_HEADER, Frame, encode_frame
from fnpack.devbus.amqp.performatives import (
    ACCEPTED,
    ATTACH,
    BEGIN,
    CLOSE,
    DETACH,
    DISPOSITION,
    FLOW,
    OPEN,
    SASL_INIT,
    SOURCE,
    TARGET,
)
from fnpack.devbus.amqp.types import Described, Symbol, UInt, ULong, UShort
from fnpack.devbus.server import DevBus
from fnpack.devbus.thread import DevBusThread
from fnpack.devbus.wire.broker import Limits

pytestmark = pytest.mark.usefixtures("queue")


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
