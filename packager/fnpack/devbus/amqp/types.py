"""The AMQP 1.0 types that Python has no type for, and the union of all values.

What Python has stands for itself: None, bool, float (double), int (long), str, bytes (binary), UUID, list and dict.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Union
from uuid import UUID

from fnpack_triggers.errors import ServiceError


class AmqpError(ServiceError):
    """Bytes that are not AMQP 1.0, or a value that AMQP 1.0 cannot carry."""

    code = "FN550"


class DecodeError(AmqpError):
    """The peer's bytes cannot be decoded."""

    code = "FN551"


class EncodeError(AmqpError):
    """A value does not fit its AMQP type."""

    code = "FN552"


class Symbol(str):
    """A symbol: ASCII text that names something."""

    __slots__ = ()


class Char(str):
    """One Unicode character."""

    __slots__ = ()


class UByte(int):
    """An unsigned integer of 8 bits."""

    __slots__ = ()


class UShort(int):
    """An unsigned integer of 16 bits."""

    __slots__ = ()


class UInt(int):
    """An unsigned integer of 32 bits."""

    __slots__ = ()


class ULong(int):
    """An unsigned integer of 64 bits."""

    __slots__ = ()


class Byte(int):
    """A signed integer of 8 bits."""

    __slots__ = ()


class Short(int):
    """A signed integer of 16 bits."""

    __slots__ = ()


class Int(int):
    """A signed integer of 32 bits."""

    __slots__ = ()


class Timestamp(int):
    """Milliseconds since 1970 (UTC)."""

    __slots__ = ()


class Float(float):
    """A floating point number of 32 bits."""

    __slots__ = ()


class Decimal(bytes):
    """An IEEE 754 decimal of 4, 8 or 16 bytes, kept as it came."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Described:
    """A value with a descriptor that says what it means."""

    descriptor: Value
    value: Value


@dataclass(frozen=True, slots=True)
class Array:
    """Items of one type: `code` is its widest constructor, `descriptor` is not None for described items."""

    code: int
    items: tuple[Value, ...]
    descriptor: Value = None


Value = Union[None, bool, int, float, str, bytes, UUID, "list[Value]", "dict[Value, Value]", Described, Array]
Fields = dict[Value, Value]
