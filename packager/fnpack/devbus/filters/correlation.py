"""Correlation filters: a message passes if every property named has exactly the value given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from fnpack.devbus.amqp.message import Message
from fnpack.devbus.amqp.types import Value
from fnpack.devbus.filters.fields import system_value, user_value

SYSTEM_NAMES = (
    "MessageId",
    "CorrelationId",
    "To",
    "ReplyTo",
    "Subject",
    "Label",
    "SessionId",
    "ReplyToSessionId",
    "ContentType",
)


@dataclass(frozen=True, slots=True)
class CorrelationFilter:
    """Conditions on broker properties (by .NET name) and on application properties, all of which must hold."""

    system: Mapping[str, str] = field(default_factory=dict)
    user: Mapping[str, Value] = field(default_factory=dict)

    def matches(self, message: Message) -> bool:
        """Whether all conditions hold. Text is compared with regard to case."""
        return all(
            _same(system_value(message, name), wanted) for name, wanted in self.system.items()
        ) and all(_same(user_value(message, name), wanted) for name, wanted in self.user.items())


def _same(value: Value, wanted: Value) -> bool:
    if isinstance(value, bool) or isinstance(wanted, bool):
        return value is wanted
    return value is not None and value == wanted
