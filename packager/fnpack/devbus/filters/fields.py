"""The names that filters use for a message's properties, and their AMQP names."""

from __future__ import annotations

from uuid import UUID

from fnpack.devbus.amqp.message import Message
from fnpack.devbus.amqp.types import Symbol, ULong, Value

# .NET name (casefolded) -> AMQP field
SYSTEM_FIELDS = {
    "messageid": "message_id",
    "correlationid": "correlation_id",
    "to": "to",
    "replyto": "reply_to",
    "subject": "subject",
    "label": "subject",
    "sessionid": "group_id",
    "replytosessionid": "reply_to_group_id",
    "contenttype": "content_type",
    "userid": "user_id",
    "contentencoding": "content_encoding",
    "absoluteexpirytime": "absolute_expiry_time",
    "creationtime": "creation_time",
    "groupid": "group_id",
    "groupsequence": "group_sequence",
    "replytogroupid": "reply_to_group_id",
}
_ANNOTATIONS = {
    "partitionkey": "x-opt-partition-key",
    "scheduledenqueuetimeutc": "x-opt-scheduled-enqueue-time",
}


def system_value(message: Message, name: str) -> Value:
    """A broker property by .NET name, without regard to case; None if there is none."""
    field = SYSTEM_FIELDS.get(name.casefold())
    if field is not None:
        return _plain(message.value_of(field))
    annotation = _ANNOTATIONS.get(name.casefold())
    return message.annotation(annotation) if annotation is not None else None


def user_value(message: Message, name: str) -> Value:
    """An application property, without regard to case; None if there is none."""
    if not message.application:
        return None
    if name in message.application:
        return _plain(message.application[name])
    folded = name.casefold()
    for key, value in message.application.items():
        if isinstance(key, str) and key.casefold() == folded:
            return _plain(value)
    return None


def has_user_value(message: Message, name: str) -> bool:
    """Whether there is an application property of that name, whatever its value."""
    folded = name.casefold()
    return any(isinstance(key, str) and key.casefold() == folded for key in message.application or ())


def _plain(value: Value) -> Value:
    """Ids of all types compare as text; symbols are text."""
    if isinstance(value, UUID | Symbol):
        return str(value)
    return int(value) if isinstance(value, ULong) else value
