"""Cuts a stream of bytes into AMQP frames and builds frames; protocol headers come as frames of their own kind."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from fnpack.devbus.amqp.decode import decode
from fnpack.devbus.amqp.encode import encode
from fnpack.devbus.amqp.types import DecodeError, Described, ULong, Value

AMQP_HEADER = b"AMQP\x00\x01\x00\x00"
SASL_HEADER = b"AMQP\x03\x01\x00\x00"
AMQP, SASL = 0, 1
EMPTY_FRAME = b"\x00\x00\x00\x08\x02\x00\x00\x00"
_HEAD = struct.Struct(">IBBH")


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame: type, channel, code and list of its performative (code -1: an empty frame), and the bytes behind."""

    kind: int
    channel: int
    code: int
    fields: Value
    payload: bytes


class FrameReader:
    """Collects bytes and gives whole frames; holds no more than one frame and what came with it."""

    def __init__(self, max_frame_bytes: int) -> None:
        self._max_frame_bytes = max_frame_bytes
        self._buffer = bytearray()
        self._expects_header = True

    def feed(self, data: bytes) -> None:
        """Add bytes that have arrived."""
        self._buffer += data

    def expect_header(self) -> None:
        """A protocol header comes next (at the beginning, and after SASL)."""
        self._expects_header = True

    def items(self) -> Iterator[bytes | Frame]:
        """Protocol headers (8 bytes) and whole frames. Raises DecodeError; then nothing more can be read."""
        start = 0
        try:
            while len(self._buffer) - start >= 8:
                if self._expects_header:
                    self._expects_header = False
                    start += 8
                    yield bytes(self._buffer[start - 8 : start])
                    continue
                size, offset, kind, channel = _HEAD.unpack_from(self._buffer, start)
                if size > self._max_frame_bytes or size < 8 or not 8 <= 4 * offset <= size:
                    raise DecodeError("a frame's size is wrong")
                if len(self._buffer) - start < size:
                    return
                body = bytes(self._buffer[start + 4 * offset : start + size])
                start += size
                yield _frame(kind, channel, body)
        finally:
            del self._buffer[:start]


def _frame(kind: int, channel: int, body: bytes) -> Frame:
    if kind not in (AMQP, SASL):
        raise DecodeError(f"frames of type {kind} are unknown")
    if not body:
        return Frame(kind, channel, -1, None, b"")
    performative, end = decode(body)
    if not isinstance(performative, Described) or not isinstance(performative.descriptor, ULong):
        raise DecodeError("a frame does not begin with a performative")
    return Frame(kind, channel, int(performative.descriptor), performative.value, body[end:])


def encode_frame(channel: int, performative: Described, payload: bytes = b"", kind: int = AMQP) -> bytes:
    """A frame as bytes."""
    body = encode(performative)
    return b"".join((_HEAD.pack(8 + len(body) + len(payload), 2, kind, channel), body, payload))


# A transfer is written for every message: one struct instead of a dozen fields.
_TRANSFER = struct.Struct(">IBBH BBBBBB BI BI BB16s B BB BB BBB")
_LONG_FORMAT_BYTES = _TRANSFER.size


def encode_transfers(
    channel: int,
    handle: int,
    delivery_id: int,
    tag: bytes,
    message: bytes,
    *,
    max_frame_bytes: int,
    settled: bool,
) -> list[bytes]:
    """The frames of one delivery with a tag of 16 bytes, all eleven fields in each."""
    room = max_frame_bytes - _LONG_FORMAT_BYTES
    frames = []
    for start in range(0, max(len(message), 1), room):
        part = message[start : start + room]
        more = start + room < len(message)
        head = _TRANSFER.pack(
            _LONG_FORMAT_BYTES + len(part), 2, AMQP, channel,
            0, 0x53, 0x14, 0xC0, _LONG_FORMAT_BYTES - 13, 11,
            0x70, handle,
            0x70, delivery_id,
            0xA0, 16, tag,
            0x43,  # message-format 0
            0x41 if settled else 0x42, 0x41 if more else 0x42,
            0x40, 0x40,  # rcv-settle-mode, state
            0x42, 0x42, 0x42,  # resume, aborted, batchable
        )  # fmt: skip
        frames.append(head + part)
    return frames


_DISPOSITION = struct.Struct(">IBBH BBBBII BBIBIB")


def encode_disposition(channel: int, delivery_id: int, outcome: Described, *, as_receiver: bool) -> bytes:
    """The frame that settles one delivery, all six fields in it."""
    state = encode(outcome)
    size = _DISPOSITION.size + len(state) + 1
    head = _DISPOSITION.pack(
        size, 2, AMQP, channel,
        0, 0x53, 0x15, 0xD0, size - 16, 6,
        0x41 if as_receiver else 0x42, 0x70, delivery_id, 0x70, delivery_id, 0x41,
    )  # fmt: skip
    return b"".join((head, state, b"\x42"))
