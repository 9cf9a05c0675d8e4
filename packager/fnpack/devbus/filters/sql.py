"""SQL filters."""

from __future__ import annotations

from dataclasses import dataclass

from fnpack.devbus.amqp.message import Message
from fnpack.devbus.amqp.types import Value
from fnpack.devbus.filters.sql_expressions import Expression
from fnpack.devbus.filters.sql_parser import parse_condition


@dataclass(frozen=True, slots=True)
class SqlFilter:
    """A message passes if the condition is true; unknown is not true."""

    expression: str
    condition: Expression

    def matches(self, message: Message) -> bool:
        """Whether the condition is true for the message."""
        return self.condition.value(message) is True


def sql_filter(expression: str, parameters: dict[str, Value] | None = None) -> SqlFilter:
    """The filter that an expression means. Raises SqlFilterError."""
    return SqlFilter(expression, parse_condition(expression, parameters))
