"""Rules of subscriptions as management requests carry them. Descriptors are those of the .NET client."""

from __future__ import annotations

from fnpack.devbus.amqp.types import Described, Fields, Timestamp, ULong, Value
from fnpack.devbus.entities.errors import MalformedError
from fnpack.devbus.filters.action import parse_action
from fnpack.devbus.filters.correlation import CorrelationFilter
from fnpack.devbus.filters.rule import FalseFilter, Filter, Rule, TrueFilter
from fnpack.devbus.filters.sql import SqlFilter, sql_filter
from fnpack.devbus.wire.settlement import text

_VENDOR = 0x137 << 32
_RULE, _NO_ACTION, _SQL_ACTION = _VENDOR + 4, _VENDOR + 5, _VENDOR + 6
_SQL, _TRUE, _FALSE, _CORRELATION = _VENDOR + 6, _VENDOR + 7, _VENDOR + 8, _VENDOR + 9
_ORDER = (
    "CorrelationId",
    "MessageId",
    "To",
    "ReplyTo",
    "Subject",
    "SessionId",
    "ReplyToSessionId",
    "ContentType",
)
_KEYS = (
    "correlation-id",
    "message-id",
    "to",
    "reply-to",
    "label",
    "session-id",
    "reply-to-session-id",
    "content-type",
)


def read_rule(body: Fields) -> Rule:
    """The rule of an `add-rule` request. Raises MalformedError and SqlFilterError."""
    name, description = text(body.get("rule-name")), body.get("rule-description")
    if not name or not isinstance(description, dict):
        raise MalformedError("`rule-name` or `rule-description` is missing")
    action = description.get("sql-rule-action")
    expression = text(action.get("expression")) if isinstance(action, dict) else None
    return Rule(name, _filter(description), parse_action(expression) if expression else None)


def _filter(description: Fields) -> Filter:
    sql, correlation = description.get("sql-filter"), description.get("correlation-filter")
    if isinstance(sql, dict):
        return sql_filter(text(sql.get("expression")) or "")
    if isinstance(correlation, dict):
        given = {name: text(correlation.get(key)) for name, key in zip(_ORDER, _KEYS, strict=True)}
        user = correlation.get("properties")
        own = {str(key): value for key, value in user.items()} if isinstance(user, dict) else {}
        return CorrelationFilter({name: value for name, value in given.items() if value is not None}, own)
    if "false-filter" in description:
        return FalseFilter()
    return TrueFilter()


def describe_rule(rule: Rule) -> Value:
    """The rule as `enumerate-rules` answers."""
    action = Described(ULong(_NO_ACTION), [])
    if rule.action is not None:
        action = Described(ULong(_SQL_ACTION), [rule.action.expression, None])
    return Described(ULong(_RULE), [_describe(rule.filter), action, rule.name, Timestamp(0)])


def _describe(one: Filter) -> Described:
    match one:
        case SqlFilter():
            return Described(ULong(_SQL), [one.expression, None])
        case CorrelationFilter():
            user: Fields = {}
            user.update(one.user)
            return Described(ULong(_CORRELATION), [*(one.system.get(name) for name in _ORDER), user])
        case FalseFilter():
            return Described(ULong(_FALSE), [])
    return Described(ULong(_TRUE), [])
