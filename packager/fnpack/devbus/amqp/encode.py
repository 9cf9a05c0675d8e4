"""Encodes values as AMQP 1.0. The Python type chooses the AMQP type; see `types`."""

from __future__ import annotations

import struct
from collections.abc import Callable
from uuid import UUID

from fnpack.devbus.amqp.types import (
    Array,
    Byte,
    Char,
    Decimal,
    Described,
    EncodeError,
    Float,
    Int,
    Short,
    Symbol,
    Timestamp,
    UByte,
    UInt,
    ULong,
    UShort,
    Value,
)

_DECIMAL_CODES = {4: 0x74, 8: 0x84, 16: 0x94}


def encode(value: Value) -> bytes:
    """The value's bytes, constructor first. Raises EncodeError if it does not fit its type."""
    out = bytearray()
    encode_into(out, value)
    return bytes(out)


def encode_into(out: bytearray, value: Value) -> None:
    """Append the value's bytes to `out`. Raises EncodeError."""
    writer = _WRITERS.get(type(value))
    if writer is None:
        raise EncodeError(f"{type(value).__name__} has no AMQP type")
    try:
        writer(out, value)
    except (struct.error, UnicodeError, OverflowError, RecursionError) as exc:
        raise EncodeError(f"a {type(value).__name__} does not fit its AMQP type") from exc


def _fixed(code: int, layout: str) -> Callable[[bytearray, Value], None]:
    pack = struct.Struct(f">B{layout}").pack

    def write(out: bytearray, value: Value) -> None:
        out += pack(code, value)

    return write


def _none(out: bytearray, _value: Value) -> None:
    out.append(0x40)


def _bool(out: bytearray, value: Value) -> None:
    out.append(0x41 if value else 0x42)


def _uint(out: bytearray, value: Value) -> None:
    assert isinstance(value, int)
    if value == 0:
        out.append(0x43)
    elif 0 < value < 256:
        out += bytes((0x52, value))
    else:
        out += struct.pack(">BI", 0x70, value)


def _ulong(out: bytearray, value: Value) -> None:
    assert isinstance(value, int)
    if value == 0:
        out.append(0x44)
    elif 0 < value < 256:
        out += bytes((0x53, value))
    else:
        out += struct.pack(">BQ", 0x80, value)


def _int(out: bytearray, value: Value) -> None:
    assert isinstance(value, int)
    out += struct.pack(">Bb", 0x54, value) if -128 <= value < 128 else struct.pack(">Bi", 0x71, value)


def _long(out: bytearray, value: Value) -> None:
    assert isinstance(value, int)
    out += struct.pack(">Bb", 0x55, value) if -128 <= value < 128 else struct.pack(">Bq", 0x81, value)


def _variable(out: bytearray, narrow: int, raw: bytes) -> None:
    size = len(raw)
    out += bytes((narrow, size)) if size < 256 else struct.pack(">BI", narrow + 0x10, size)
    out += raw


def _string(out: bytearray, value: Value) -> None:
    assert isinstance(value, str)
    _variable(out, 0xA1, value.encode())


def _symbol(out: bytearray, value: Value) -> None:
    assert isinstance(value, str)
    _variable(out, 0xA3, value.encode("ascii"))


def _binary(out: bytearray, value: Value) -> None:
    assert isinstance(value, bytes)
    _variable(out, 0xA0, value)


def _char(out: bytearray, value: Value) -> None:
    assert isinstance(value, str)
    if len(value) != 1:
        raise EncodeError("a char is one character")
    out += struct.pack(">BI", 0x73, ord(value))


def _decimal(out: bytearray, value: Value) -> None:
    assert isinstance(value, bytes)
    if len(value) not in _DECIMAL_CODES:
        raise EncodeError("a decimal has 4, 8 or 16 bytes")
    out.append(_DECIMAL_CODES[len(value)])
    out += value


def _uuid(out: bytearray, value: Value) -> None:
    assert isinstance(value, UUID)
    out.append(0x98)
    out += value.bytes


def _collection(out: bytearray, narrow: int, count: int, body: bytes | bytearray) -> None:
    if len(body) < 255 and count < 256:
        out += bytes((narrow, len(body) + 1, count))
    else:
        out += struct.pack(">BII", narrow + 0x10, len(body) + 4, count)
    out += body


def _list(out: bytearray, value: Value) -> None:
    assert isinstance(value, list)
    if not value:
        out.append(0x45)
        return
    body = bytearray()
    for item in value:
        encode_into(body, item)
    _collection(out, 0xC0, len(value), body)


def _map(out: bytearray, value: Value) -> None:
    assert isinstance(value, dict)
    body = bytearray()
    for key, item in value.items():
        encode_into(body, key)
        encode_into(body, item)
    _collection(out, 0xC1, 2 * len(value), body)


def _described(out: bytearray, value: Value) -> None:
    assert isinstance(value, Described)
    out.append(0)
    encode_into(out, value.descriptor)
    encode_into(out, value.value)


def _array(out: bytearray, value: Value) -> None:
    assert isinstance(value, Array)
    body = bytearray()
    if value.descriptor is not None:
        body.append(0)
        encode_into(body, value.descriptor)
    body.append(value.code)
    for item in value.items:
        body += _array_item(value.code, item)
    _collection(out, 0xE0, len(value.items), body)


_ITEM_LAYOUTS = {
    0x50: "B",
    0x51: "b",
    0x60: "H",
    0x61: "h",
    0x70: "I",
    0x71: "i",
    0x72: "f",
    0x80: "Q",
    0x81: "q",
}
_ITEM_LAYOUTS |= {0x82: "d", 0x83: "q", 0x56: "?"}


def _array_item(code: int, item: Value) -> bytes:
    """An item without its constructor, in the widest form of its type."""
    if code == 0x40:
        return b""
    if code in _ITEM_LAYOUTS:
        return struct.pack(">" + _ITEM_LAYOUTS[code], item)
    if code == 0x73 and isinstance(item, str):
        return struct.pack(">I", ord(item))
    if code == 0x98 and isinstance(item, UUID):
        return item.bytes
    if code in _DECIMAL_CODES.values() and isinstance(item, bytes):
        return item
    if code in (0xB0, 0xB1, 0xB3):
        raw = item if isinstance(item, bytes) else str(item).encode()
        return struct.pack(">I", len(raw)) + raw
    if code in (0xD0, 0xD1, 0xF0):
        return _wide(item)
    raise EncodeError(f"0x{code:02x} is no type of an array's items")


def _wide(item: Value) -> bytes:
    """A list, map or array without its constructor, sizes in four bytes."""
    raw = encode(item)
    if raw == b"\x45":
        return struct.pack(">II", 4, 0)
    if raw[0] in (0xC0, 0xC1, 0xE0):
        return struct.pack(">II", raw[1] + 3, raw[2]) + raw[3:]
    return raw[1:]


_WRITERS: dict[type, Callable[[bytearray, Value], None]] = {
    type(None): _none,
    bool: _bool,
    UByte: _fixed(0x50, "B"),
    Byte: _fixed(0x51, "b"),
    UShort: _fixed(0x60, "H"),
    Short: _fixed(0x61, "h"),
    UInt: _uint,
    Int: _int,
    ULong: _ulong,
    int: _long,
    Float: _fixed(0x72, "f"),
    float: _fixed(0x82, "d"),
    Timestamp: _fixed(0x83, "q"),
    Char: _char,
    str: _string,
    Symbol: _symbol,
    bytes: _binary,
    Decimal: _decimal,
    UUID: _uuid,
    list: _list,
    dict: _map,
    Described: _described,
    Array: _array,
}
