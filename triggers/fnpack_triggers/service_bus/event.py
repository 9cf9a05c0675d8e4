"""A Service Bus message as an event: its body as bytes, and the metadata that Azure documents for the trigger."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, time, timedelta, timezone
from typing import TYPE_CHECKING
from uuid import UUID

from fnpack_triggers.base import Event, Json
from fnpack_triggers.json_data import with_json_properties

if TYPE_CHECKING:
    from azure.servicebus import ServiceBusReceivedMessage

_DAY_S = 86400
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def event_of(message: ServiceBusReceivedMessage, path: str) -> Event:
    """The event of a received message of the entity `path`."""
    payload = body_bytes(message)
    own = metadata_of(message)
    data = with_json_properties(own, payload.decode(errors="replace"))
    count = attempt_of(message)
    source = f"{path}/{own['MessageId'] or own['SequenceNumber']}"
    return Event(payload, data, source, count, str(own["ContentType"] or ""))


def batch_event_of(messages: Sequence[ServiceBusReceivedMessage], path: str) -> Event:
    """The event of messages that one call gets together: bodies in order, metadata as `MessageIdArray` and so on."""
    found = [metadata_of(message) for message in messages]
    data: dict[str, Json] = {f"{name}Array": [one[name] for one in found] for name in found[0]}
    count = max(attempt_of(message) for message in messages)
    bodies = tuple(body_bytes(message) for message in messages)
    return Event(b"", data, f"{path} ({len(messages)} messages)", count, items=bodies)


def attempt_of(message: ServiceBusReceivedMessage) -> int:
    """Which delivery this is, from 1 on, as .NET shows it; the wire counts those before."""
    return (getattr(message.raw_amqp_message.header, "delivery_count", 0) or 0) + 1


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
    """The documented names and their values; what a message does not have is None.

    It reads the AMQP sections, as each of the library's own properties looks at all of a section anew.
    """
    raw = message.raw_amqp_message
    header, properties = raw.header, raw.properties
    annotations: Mapping[str | bytes, object] = raw.annotations or {}
    application: Mapping[str | bytes, object] = raw.application_properties or {}
    own = plain(application)
    life_ms = getattr(header, "time_to_live", None)
    enqueued_ms = annotations.get(b"x-opt-enqueued-time")
    subject = _text(getattr(properties, "subject", None))
    expires_ms = enqueued_ms + life_ms if isinstance(enqueued_ms, int) and life_ms else None
    state = annotations.get(b"x-opt-message-state")
    return {
        "ApplicationProperties": own,
        "UserProperties": own,
        "ContentType": _text(getattr(properties, "content_type", None)),
        "CorrelationId": _text(getattr(properties, "correlation_id", None)),
        "DeadLetterErrorDescription": _text(application.get(b"DeadLetterErrorDescription")),
        "DeadLetterReason": _text(application.get(b"DeadLetterReason")),
        "DeadLetterSource": _text(annotations.get(b"x-opt-deadletter-source")),
        "DeliveryCount": attempt_of(message),
        "EnqueuedSequenceNumber": annotations.get(b"x-opt-enqueue-sequence-number") or 0,  # type: ignore[dict-item]
        "EnqueuedTimeUtc": _moment(enqueued_ms),
        "ExpiresAtUtc": _moment(expires_ms),
        "Label": subject,
        "LockToken": _text(message.lock_token),
        "LockedUntil": _moment(annotations.get(b"x-opt-locked-until")),
        "MessageId": _text(getattr(properties, "message_id", None)),
        "PartitionKey": _text(annotations.get(b"x-opt-partition-key")),
        "ReplyTo": _text(getattr(properties, "reply_to", None)),
        "ReplyToSessionId": _text(getattr(properties, "reply_to_group_id", None)),
        "ScheduledEnqueueTimeUtc": _moment(annotations.get(b"x-opt-scheduled-enqueue-time")),
        "SequenceNumber": message.sequence_number,
        "SessionId": _text(getattr(properties, "group_id", None)),
        "State": state if isinstance(state, int) else 0,
        "Subject": subject,
        "TimeToLive": _span(life_ms),
        "To": _text(getattr(properties, "to", None)),
        "TransactionPartitionKey": _text(annotations.get(b"x-opt-via-partition-key")),
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


def _text(value: object) -> str | None:
    match value:
        case None:
            return None
        case str():
            return value
        case bytes():
            return value.decode(errors="replace")
        case _:
            return str(value)


def _iso(moment: datetime) -> str:
    return moment.replace(tzinfo=moment.tzinfo or timezone.utc).astimezone(timezone.utc).isoformat()


def _moment(ms: object) -> str | None:
    """Milliseconds since 1970 as ISO text; None for what is no time, or after the year 9999."""
    if not isinstance(ms, int):
        return None
    try:
        return (_EPOCH + timedelta(milliseconds=ms)).isoformat()
    except OverflowError:
        return None


def _span(ms: int | None) -> str | None:
    """`hh:mm:ss`; from a day on the seconds alone, as azure.functions reads no days."""
    if not ms:
        return None
    seconds = ms // 1000
    if seconds >= _DAY_S:
        return str(seconds)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
