"""Decodes AMQP 1.0 values from a stranger's bytes: whatever they are, the outcome is a value or a DecodeError.

Limits: nesting of MAX_DEPTH, and no collection may claim more items than its bytes can hold.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from uuid import UUID

from fnpack.devbus.amqp.types import (
    Array,
    Byte,
    Char,
    Decimal,
    DecodeError,
    Described,
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

MAX_DEPTH = 32
_MAX_EMPTY_ITEMS = 1024  # items of an array that take no bytes each
Reader = Callable[[bytes, int, int], "tuple[Value, int]"]

_U32 = struct.Struct(">I").unpack_from
_PAIR32 = struct.Struct(">II").unpack_from
_WIDTHS = {0x40: 0, 0x50: 1, 0x60: 2, 0x70: 4, 0x80: 8, 0x90: 16}
# the widest constructor of each type; an Array is kept under it
_WIDEST = {0x52: 0x70, 0x43: 0x70, 0x53: 0x80, 0x44: 0x80, 0x54: 0x71, 0x55: 0x81, 0xA0: 0xB0, 0xA1: 0xB1}
_WIDEST |= {0xA3: 0xB3, 0xC0: 0xD0, 0x45: 0xD0, 0xC1: 0xD1, 0xE0: 0xF0, 0x41: 0x56, 0x42: 0x56}


def decode(buffer: bytes, position: int = 0) -> tuple[Value, int]:
    """The value at `position` and the position behind it. Raises DecodeError."""
    try:
        return _value(buffer, position, 0)
    except DecodeError:
        raise
    except (struct.error, IndexError):
        raise DecodeError("the bytes end within a value") from None
    except (ValueError, TypeError, OverflowError) as exc:  # bad UTF-8, a list as key of a map
        raise DecodeError(f"a value is malformed: {type(exc).__name__}") from None


def decode_all(buffer: bytes) -> Value:
    """The one value that fills `buffer`. Raises DecodeError."""
    value, end = decode(buffer)
    if end != len(buffer):
        raise DecodeError("there are bytes behind the value")
    return value


def skip(buffer: bytes, position: int) -> int:
    """The position behind the value at `position`, without decoding it. Raises DecodeError."""
    needed = 1
    try:
        while needed:
            if buffer[position] == 0:  # a described value: a descriptor and a value in place of one
                needed, position = needed + 1, position + 1
                continue
            needed, position = needed - 1, _primitive_end(buffer, position)
    except (struct.error, IndexError):
        raise DecodeError("the bytes end within a value") from None
    if position > len(buffer):
        raise DecodeError("the bytes end within a value")
    return position


def _primitive_end(buffer: bytes, position: int) -> int:
    code = buffer[position]
    kind = code & 0xF0
    if kind in _WIDTHS:
        return position + 1 + _WIDTHS[kind]
    if kind in (0xA0, 0xC0, 0xE0):
        return position + 2 + buffer[position + 1]
    if kind in (0xB0, 0xD0, 0xF0):
        size: int = _U32(buffer, position + 1)[0]
        return position + 5 + size
    raise DecodeError(f"0x{code:02x} begins no value")


def _value(buffer: bytes, position: int, depth: int) -> tuple[Value, int]:
    reader = _READERS[buffer[position]]
    if reader is None:
        raise DecodeError(f"0x{buffer[position]:02x} begins no value")
    return reader(buffer, position + 1, depth)


def _constant(value: Value) -> Reader:
    return lambda _buffer, position, _depth: (value, position)


def _fixed(code: str, kind: Callable[[int], Value] | None = None) -> Reader:
    layout = struct.Struct(">" + code)
    unpack, size = layout.unpack_from, layout.size
    if kind is None:
        return lambda buffer, position, _depth: (unpack(buffer, position)[0], position + size)
    return lambda buffer, position, _depth: (kind(unpack(buffer, position)[0]), position + size)


def _take(buffer: bytes, position: int, size: int) -> bytes:
    taken = buffer[position : position + size]
    if len(taken) != size:
        raise DecodeError("the bytes end within a value")
    return taken


def _bytes(size: int, kind: Callable[[bytes], Value]) -> Reader:
    return lambda buffer, position, _depth: (kind(_take(buffer, position, size)), position + size)


def _variable8(kind: Callable[[bytes], Value]) -> Reader:
    def read(buffer: bytes, position: int, _depth: int) -> tuple[Value, int]:
        size = buffer[position]
        return kind(_take(buffer, position + 1, size)), position + 1 + size

    return read


def _variable32(kind: Callable[[bytes], Value]) -> Reader:
    def read(buffer: bytes, position: int, _depth: int) -> tuple[Value, int]:
        size: int = _U32(buffer, position)[0]
        return kind(_take(buffer, position + 4, size)), position + 4 + size

    return read


def _boolean(buffer: bytes, position: int, _depth: int) -> tuple[Value, int]:
    if buffer[position] > 1:
        raise DecodeError("a boolean is neither 0 nor 1")
    return buffer[position] == 1, position + 1


def _symbol(raw: bytes) -> Symbol:
    return Symbol(raw.decode("ascii"))


def _uuid(raw: bytes) -> UUID:
    return UUID(bytes=raw)


def _char(code: int) -> Char:
    return Char(chr(code))


def _described(buffer: bytes, position: int, depth: int) -> tuple[Value, int]:
    if depth >= MAX_DEPTH:
        raise DecodeError("values are nested too deeply")
    descriptor, position = _value(buffer, position, depth + 1)
    value, position = _value(buffer, position, depth + 1)
    return Described(descriptor, value), position


def _compound(wide: bool, fill: Callable[[bytes, int, int, int], tuple[Value, int]]) -> Reader:
    """A list or map: size, count, items. Size counts the bytes behind itself."""

    def read(buffer: bytes, position: int, depth: int) -> tuple[Value, int]:
        if depth >= MAX_DEPTH:
            raise DecodeError("values are nested too deeply")
        if wide:
            size, count = _PAIR32(buffer, position)
            start, end, room = position + 8, position + 4 + size, size - 4
        else:
            size, count = buffer[position], buffer[position + 1]
            start, end, room = position + 2, position + 1 + size, size - 1
        if end > len(buffer) or count > room:
            raise DecodeError("a collection claims more than its bytes can hold")
        value, position = fill(buffer, start, count, depth + 1)
        if position != end:
            raise DecodeError("a collection's size is wrong")
        return value, end

    return read


def _list(buffer: bytes, position: int, count: int, depth: int) -> tuple[Value, int]:
    items: list[Value] = []
    for _ in range(count):
        code = buffer[position]
        if code == 0x40:  # most fields of most performatives are null
            items.append(None)
            position += 1
            continue
        reader = _READERS[code]
        if reader is None:
            raise DecodeError(f"0x{code:02x} begins no value")
        item, position = reader(buffer, position + 1, depth)
        items.append(item)
    return items, position


def _map(buffer: bytes, position: int, count: int, depth: int) -> tuple[Value, int]:
    if count % 2:
        raise DecodeError("a map has a key without a value")
    items: dict[Value, Value] = {}
    for _ in range(count // 2):
        key, position = _value(buffer, position, depth)
        items[key], position = _value(buffer, position, depth)
    return items, position


def _array(wide: bool) -> Reader:
    def read(buffer: bytes, position: int, depth: int) -> tuple[Value, int]:
        if depth >= MAX_DEPTH:
            raise DecodeError("values are nested too deeply")
        if wide:
            size, count = _PAIR32(buffer, position)
            start, end = position + 8, position + 4 + size
        else:
            size, count = buffer[position], buffer[position + 1]
            start, end = position + 2, position + 1 + size
        if end > len(buffer) or start >= end:
            raise DecodeError("a collection claims more than its bytes can hold")
        descriptor: Value = None
        if buffer[start] == 0:
            descriptor, start = _value(buffer, start + 1, depth + 1)
        code = buffer[start]
        reader = _READERS[code]
        if reader is None or code == 0:
            raise DecodeError(f"0x{code:02x} is no type of an array's items")
        position = start + 1
        if count > (_MAX_EMPTY_ITEMS if code & 0xF0 == 0x40 else max(end - position, 0)):
            raise DecodeError("a collection claims more than its bytes can hold")
        items: list[Value] = []
        for _ in range(count):
            item, position = reader(buffer, position, depth + 1)
            items.append(item)
        if position != end:
            raise DecodeError("a collection's size is wrong")
        return Array(_WIDEST.get(code, code), tuple(items), descriptor), end

    return read


def _string(raw: bytes) -> str:
    return raw.decode("utf-8")


_BY_CODE: dict[int, Reader] = {
    0x00: _described,
    0x40: _constant(None),
    0x41: _constant(True),
    0x42: _constant(False),
    0x43: _constant(UInt(0)),
    0x44: _constant(ULong(0)),
    0x45: lambda _buffer, position, _depth: ([], position),
    0x50: _fixed("B", UByte),
    0x51: _fixed("b", Byte),
    0x52: _fixed("B", UInt),
    0x53: _fixed("B", ULong),
    0x54: _fixed("b", Int),
    0x55: _fixed("b"),
    0x56: _boolean,
    0x60: _fixed("H", UShort),
    0x61: _fixed("h", Short),
    0x70: _fixed("I", UInt),
    0x71: _fixed("i", Int),
    0x72: _fixed("f", Float),
    0x73: _fixed("I", _char),
    0x74: _bytes(4, Decimal),
    0x80: _fixed("Q", ULong),
    0x81: _fixed("q"),
    0x82: _fixed("d"),
    0x83: _fixed("q", Timestamp),
    0x84: _bytes(8, Decimal),
    0x94: _bytes(16, Decimal),
    0x98: _bytes(16, _uuid),
    0xA0: _variable8(bytes),
    0xA1: _variable8(_string),
    0xA3: _variable8(_symbol),
    0xB0: _variable32(bytes),
    0xB1: _variable32(_string),
    0xB3: _variable32(_symbol),
    0xC0: _compound(False, _list),
    0xC1: _compound(False, _map),
    0xD0: _compound(True, _list),
    0xD1: _compound(True, _map),
    0xE0: _array(False),
    0xF0: _array(True),
}
_READERS: tuple[Reader | None, ...] = tuple(_BY_CODE.get(code) for code in range(256))
