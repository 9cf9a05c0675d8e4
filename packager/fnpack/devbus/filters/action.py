"""What a rule does to the messages that it lets through: `SET name = value; REMOVE name`."""

from __future__ import annotations

from dataclasses import dataclass

from fnpack.devbus.amqp.message import Message
from fnpack.devbus.amqp.types import Value
from fnpack.devbus.filters.fields import SYSTEM_FIELDS
from fnpack.devbus.filters.sql_expressions import Expression, Property
from fnpack.devbus.filters.sql_parser import SqlParser

_TEXT_FIELDS = frozenset(("message_id", "correlation_id", "to", "reply_to", "subject", "group_id"))
_SETTABLE = _TEXT_FIELDS | {"reply_to_group_id", "content_type"}


@dataclass(frozen=True, slots=True)
class Step:
    """One statement; `value` None removes the property."""

    target: Property
    value: Expression | None


@dataclass(frozen=True, slots=True)
class Action:
    """The statements of an action, in order."""

    expression: str
    steps: tuple[Step, ...]

    def apply(self, message: Message) -> Message:
        """The message as it is after all statements."""
        for step in self.steps:
            value = step.value.value(message) if step.value is not None else None
            message = _changed(message, step.target, value)
        return message


def parse_action(expression: str) -> Action:
    """The action that an expression means. Raises SqlFilterError."""
    parser = SqlParser(expression)
    steps = [_step(parser)]
    while parser.skip_if(";"):
        if not parser.at_end():
            steps.append(_step(parser))
    if not parser.at_end():
        raise parser.fault("`;` is missing")
    return Action(expression, tuple(steps))


def _step(parser: SqlParser) -> Step:
    verb = parser.skip_if("SET", "REMOVE")
    if verb is None:
        raise parser.fault("`SET` or `REMOVE` is missing")
    target = parser.property()
    if target.is_system and SYSTEM_FIELDS.get(target.name.casefold()) not in _SETTABLE:
        raise parser.fault(f"`sys.{target.name}` cannot be set")
    if verb == "REMOVE":
        return Step(target, None)
    parser.require("=")
    return Step(target, parser.value())


def _changed(message: Message, target: Property, value: Value) -> Message:
    if target.is_system:
        return message.with_properties(
            {SYSTEM_FIELDS[target.name.casefold()]: None if value is None else str(value)}
        )
    application = dict(message.application or {})
    folded = target.name.casefold()
    key = next((one for one in application if isinstance(one, str) and one.casefold() == folded), target.name)
    if value is None:
        application.pop(key, None)
    else:
        application[key] = value
    return message.with_application_exactly(application)
