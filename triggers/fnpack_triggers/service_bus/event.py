"""A Service Bus message as an event: its body as bytes, and the metadata that Azure documents for the trigger."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import date, datetime, time, timedelta, timezone
from typing import TYPE_CHECKING
from uuid import UUID

from fnpack_triggers.base import Event, Json
from fnpack_triggers.json_data import with_json_properties

if TYPE_CHECKING:
    from azure.servicebus import ServiceBusReceivedMessage

_DAY_S = 86400


def event_of(message: ServiceBusReceivedMessage, path: str) -> Event:
    """The event of a received message of the entity `path`."""
    payload = body_bytes(message)
    own = metadata_of(message)
    data = with_json_properties(own, payload.decode(errors="replace"))
    count = attempt_of(message)
    source = f"{path}/{message.message_id or message.sequence_number}"
    return Event(payload, data, source, count, message.content_type or "")


def batch_event_of(messages: Sequence[ServiceBusReceivedMessage], path: str) -> Event:
    """The event of messages that one call gets together: bodies in order, metadata as `MessageIdArray` and so on."""
    found = [metadata_of(message) for message in messages]
    data: dict[str, Json] = {f"{name}Array": [one[name] for one in found] for name in found[0]}
    count = max(attempt_of(message) for message in messages)
    bodies = tuple(body_bytes(message) for message in messages)
    return Event(b"", data, f"{path} ({len(messages)} messages)", count, items=bodies)


def attempt_of(message: ServiceBusReceivedMessage) -> int:
    """Which delivery this is, from 1 on, as .NET shows it; the wire counts those before."""
    return (message.delivery_count or 0) + 1


def body_bytes(message: ServiceBusReceivedMessage) -> bytes:
    """The body: data as it is, text as UTF-8, any other value and sequences as JSON, none as nothing."""
    body, kind = message.body, message.body_type.name
    if kind == "DATA":
        return body if isinstance(body, bytes) else b"".join(body)
    value = list(body) if kind == "SEQUENCE" and isinstance(body, Iterable) else body
    match value:
        case None:
            return b""
        case bytes() | bytearray():
            return bytes(value)
        case str():
            return value.encode(errors="replace")
        case _:
            return json.dumps(plain(value)).encode()


def metadata_of(message: ServiceBusReceivedMessage) -> dict[str, Json]:
    """The documented names and their values; what a message does not have is None."""
    properties = plain(message.application_properties or {})
    return {
        "ApplicationProperties": properties,
        "UserProperties": properties,
        "ContentType": message.content_type,
        "CorrelationId": _text(message.correlation_id),
        "DeadLetterErrorDescription": message.dead_letter_error_description,
        "DeadLetterReason": message.dead_letter_reason,
        "DeadLetterSource": message.dead_letter_source,
        "DeliveryCount": attempt_of(message),
        "EnqueuedSequenceNumber": message.enqueued_sequence_number or 0,
        "EnqueuedTimeUtc": _iso(message.enqueued_time_utc),
        "ExpiresAtUtc": _iso(message.expires_at_utc),
        "Label": message.subject,
        "LockToken": _text(message.lock_token),
        "LockedUntil": _iso(message.locked_until_utc),
        "MessageId": _text(message.message_id),
        "PartitionKey": message.partition_key,
        "ReplyTo": message.reply_to,
        "ReplyToSessionId": message.reply_to_session_id,
        "ScheduledEnqueueTimeUtc": _iso(message.scheduled_enqueue_time_utc),
        "SequenceNumber": message.sequence_number,
        "SessionId": message.session_id,
        "State": int(message.state.value),
        "Subject": message.subject,
        "TimeToLive": _span(message.time_to_live),
        "To": message.to,
        "TransactionPartitionKey": _via_partition_key(message),
    }


def plain(value: object) -> Json:
    """An AMQP value as JSON holds it: keys and bytes as text, times as ISO text, UUIDs as text."""
    match value:
        case None | bool() | int() | float() | str():
            return value
        case bytes() | bytearray():
            return bytes(value).decode(errors="replace")
        case dict():
            return {str(plain(key)): plain(item) for key, item in value.items()}
        case list() | tuple():
            return [plain(item) for item in value]
        case datetime():
            return _iso(value)
        case date() | time():
            return value.isoformat()
        case UUID():
            return str(value)
        case _:
            return str(value)


def _via_partition_key(message: ServiceBusReceivedMessage) -> str | None:
    """The library shows it no more; it is an annotation."""
    annotations = message.raw_amqp_message.annotations or {}
    value = annotations.get(b"x-opt-via-partition-key", annotations.get("x-opt-via-partition-key"))
    return None if value is None else str(plain(value))


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _iso(moment: datetime | None) -> str | None:
    if moment is None:
        return None
    return moment.replace(tzinfo=moment.tzinfo or timezone.utc).astimezone(timezone.utc).isoformat()


def _span(span: timedelta | None) -> str | None:
    """`hh:mm:ss`; from a day on the seconds alone, as azure.functions reads no days."""
    if span is None:
        return None
    seconds = int(span.total_seconds())
    if seconds >= _DAY_S:
        return str(seconds)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
