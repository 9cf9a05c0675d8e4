"""A client that speaks AMQP frame by frame, and what it needs of a bus."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from fnpack.devbus.amqp.encode import encode
from fnpack.devbus.amqp.frames import AMQP_HEADER, Frame, FrameReader, encode_frame
from fnpack.devbus.amqp.performatives import (
    ACCEPTED,
    ATTACH,
    BEGIN,
    DISPOSITION,
    FLOW,
    OPEN,
    SOURCE,
    TARGET,
    TRANSFER,
)
from fnpack.devbus.amqp.types import Described, UInt, ULong
from fnpack.devbus.thread import DevBusThread

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
