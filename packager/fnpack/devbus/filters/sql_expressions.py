"""The parts of a parsed SQL filter, and their values for a message. Unknown is None, as in SQL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

from fnpack.devbus.amqp.message import Message
from fnpack.devbus.amqp.types import Value
from fnpack.devbus.filters.fields import has_user_value, system_value, user_value


class Expression(Protocol):
    """Has a value for each message."""

    def value(self, message: Message) -> Value:
        """The value, None if unknown."""


@dataclass(frozen=True, slots=True)
class Literal:
    """A constant."""

    constant: Value

    def value(self, message: Message) -> Value:
        """The constant."""
        return self.constant


@dataclass(frozen=True, slots=True)
class Property:
    """A property of the message: `is_system` for `sys.Name`."""

    name: str
    is_system: bool = False

    def value(self, message: Message) -> Value:
        """What the message says."""
        return system_value(message, self.name) if self.is_system else user_value(message, self.name)


@dataclass(frozen=True, slots=True)
class Exists:
    """EXISTS(property)."""

    property: Property

    def value(self, message: Message) -> Value:
        """Whether the message has the property."""
        if self.property.is_system:
            return self.property.value(message) is not None
        return has_user_value(message, self.property.name)


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """A chain such as `a + b - c`, from left to right. `+` also joins texts."""

    first: Expression
    rest: tuple[tuple[str, Expression], ...]

    def value(self, message: Message) -> Value:
        """The result; unknown for what cannot be calculated."""
        result = self.first.value(message)
        for operator, operand in self.rest:
            result = _calculate(operator, result, operand.value(message))
        return result


@dataclass(frozen=True, slots=True)
class Negative:
    """`-a`."""

    operand: Expression

    def value(self, message: Message) -> Value:
        """The number with its sign changed."""
        value = self.operand.value(message)
        return -value if isinstance(value, int | float) and not isinstance(value, bool) else None


@dataclass(frozen=True, slots=True)
class Comparison:
    """`a = b` and its kind."""

    operator: str
    left: Expression
    right: Expression

    def value(self, message: Message) -> Value:
        """True, False, or unknown if a side is or the types differ."""
        return _compare(self.operator, self.left.value(message), self.right.value(message))


@dataclass(frozen=True, slots=True)
class Among:
    """`a IN (b, c)`."""

    operand: Expression
    choices: Sequence[Expression]

    def value(self, message: Message) -> Value:
        """True if equal to one; unknown if the operand is."""
        value = self.operand.value(message)
        if value is None:
            return None
        found = [_compare("=", value, choice.value(message)) for choice in self.choices]
        if True in found:
            return True
        return None if found and all(one is None for one in found) else False


@dataclass(frozen=True, slots=True)
class Like:
    """`a LIKE 'b%'`; `%` is any text, `_` any character."""

    operand: Expression
    pattern: Expression
    escape: str | None = None

    def value(self, message: Message) -> Value:
        """True or False for texts, else unknown."""
        value, pattern = self.operand.value(message), self.pattern.value(message)
        if not isinstance(value, str) or not isinstance(pattern, str):
            return None
        return like(value, pattern, self.escape)


@dataclass(frozen=True, slots=True)
class IsNull:
    """`a IS NULL`."""

    operand: Expression

    def value(self, message: Message) -> Value:
        """Whether the value is unknown."""
        return self.operand.value(message) is None


@dataclass(frozen=True, slots=True)
class Not:
    """`NOT a`."""

    operand: Expression

    def value(self, message: Message) -> Value:
        """The opposite; unknown stays unknown."""
        value = self.operand.value(message)
        return not value if isinstance(value, bool) else None


@dataclass(frozen=True, slots=True)
class AllOf:
    """`a AND b AND c`."""

    operands: tuple[Expression, ...]

    def value(self, message: Message) -> Value:
        """False if one is false; else unknown if one is; else True."""
        values = [operand.value(message) for operand in self.operands]
        if any(value is False for value in values):
            return False
        return True if all(value is True for value in values) else None


@dataclass(frozen=True, slots=True)
class AnyOf:
    """`a OR b OR c`."""

    operands: tuple[Expression, ...]

    def value(self, message: Message) -> Value:
        """True if one is true; else unknown if one is; else False."""
        values = [operand.value(message) for operand in self.operands]
        if any(value is True for value in values):
            return True
        return False if all(value is False for value in values) else None


def like(text: str, pattern: str, escape: str | None) -> bool:
    """Whether `text` is like `pattern`. Works in time proportional to both, whatever the pattern."""
    parts = _pattern(pattern, escape)
    position, part = 0, 0
    star, retry = (
        -1,
        0,
    )  # the last `%`, and where its text would go on: the classic greedy match with one step back
    while position < len(text):
        if part < len(parts) and parts[part] == "%%":
            star, retry = part, position
            part += 1
        elif part < len(parts) and parts[part] in ("__", text[position]):
            part, position = part + 1, position + 1
        elif star >= 0:
            retry += 1
            part, position = star + 1, retry
        else:
            return False
    return all(one == "%%" for one in parts[part:])


@lru_cache(maxsize=256)
def _pattern(pattern: str, escape: str | None) -> tuple[str, ...]:
    """The pattern as single characters, with `%%` for any text and `__` for any character."""
    parts: list[str] = []
    escaped = False
    for char in pattern:
        if escaped or (char not in "%_" and char != escape):
            parts.append(char)
            escaped = False
        elif char == escape:
            escaped = True
        elif char == "_" or not parts or parts[-1] != "%%":
            parts.append(char * 2)
    return tuple(parts)


def _is_number(value: Value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _compare(operator: str, left: Value, right: Value) -> Value:
    numbers = _is_number(left) and _is_number(right)
    alike = (isinstance(left, str) and isinstance(right, str)) or (
        isinstance(left, bool) and isinstance(right, bool)
    )
    if left is None or right is None or not (numbers or alike):
        return None
    match operator:
        case "=":
            return left == right
        case "<>":
            return left != right
        case "<":
            return bool(left < right)  # type: ignore[operator]
        case "<=":
            return bool(left <= right)  # type: ignore[operator]
        case ">":
            return bool(left > right)  # type: ignore[operator]
    return bool(left >= right)  # type: ignore[operator]


def _calculate(operator: str, left: Value, right: Value) -> Value:
    if operator == "+" and isinstance(left, str) and isinstance(right, str):
        return left + right
    if isinstance(left, bool) or isinstance(right, bool):
        return None
    if not isinstance(left, int | float) or not isinstance(right, int | float):
        return None
    try:
        match operator:
            case "+":
                return left + right
            case "-":
                return left - right
            case "*":
                return left * right
            case "/":
                whole = isinstance(left, int) and isinstance(right, int)
                return _whole_quotient(int(left), int(right)) if whole else left / right
        return (
            left - right * _whole_quotient(int(left), int(right)) if isinstance(left, int) else left % right
        )
    except (ArithmeticError, ValueError):
        return None


def _whole_quotient(left: int, right: int) -> int:
    """Rounded towards zero, as in SQL."""
    quotient = abs(left) // abs(right)
    return quotient if (left < 0) == (right < 0) else -quotient
