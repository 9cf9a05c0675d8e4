"""The protobuf wire format, as far as BuildKit's small messages need it: fields in, fields out, no schema."""

from __future__ import annotations

from collections.abc import Iterator

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


class ProtobufError(ValueError):
    """The bytes are not a protobuf message."""


def fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield (field number, value) in wire order: int for varint and fixed fields (unsigned), bytes for the rest."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, kind = key >> 3, key & 7
        if number == 0:
            raise ProtobufError(f"field number 0 before byte {at}")
        if kind == VARINT:
            value, at = _varint(data, at)
            yield number, value
            continue
        if kind == BYTES:
            size, at = _varint(data, at)
        elif kind in (FIXED64, FIXED32):
            size = 8 if kind == FIXED64 else 4
        else:
            raise ProtobufError(f"wire type {kind} before byte {at}")
        if size > len(data) - at:
            raise ProtobufError(f"a field of {size} bytes at byte {at} of {len(data)}")
        chunk, at = data[at : at + size], at + size
        yield number, chunk if kind == BYTES else int.from_bytes(chunk, "little")


def text_field(data: bytes, number: int) -> str:
    """The last value given for a string field (as protobuf has it), or ""."""
    text = b""
    for field, value in fields(data):
        if field == number and isinstance(value, bytes):
            text = value
    return text.decode("utf-8", "replace")


def encode(*pairs: tuple[int, int | bytes | str]) -> bytes:
    """A message of varint (int >= 0) and length-delimited (bytes, str) fields."""
    out = bytearray()
    for number, value in pairs:
        if isinstance(value, int):
            out += _encode_varint(number << 3 | VARINT) + _encode_varint(value)
        else:
            chunk = value.encode() if isinstance(value, str) else value
            out += _encode_varint(number << 3 | BYTES) + _encode_varint(len(chunk)) + chunk
    return bytes(out)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise ProtobufError(f"the message ends inside a number at byte {at}")
        byte, at = data[at], at + 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, at
    raise ProtobufError(f"a number of more than ten bytes before byte {at}")


def _encode_varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
