"""A queue message as an event: its bytes, and the binding data that Azure documents for `queueTrigger`."""

from __future__ import annotations

from datetime import datetime, timezone

from fnpack_triggers.base import Event, Json
from fnpack_triggers.json_data import with_json_properties
from fnpack_triggers.queue.channel import Message


def event_of(message: Message, payload: bytes, queue: str) -> Event:
    """The event of a decoded message; top-level properties of a JSON object are data, too."""
    text = payload.decode(errors="replace")
    own: dict[str, Json] = {
        "QueueTrigger": text,
        "DequeueCount": message.dequeue_count,
        "ExpirationTime": _iso(message.expires_on),
        "Id": message.id,
        "InsertionTime": _iso(message.inserted_on),
        "NextVisibleTime": _iso(message.visible_on),
        "PopReceipt": message.receipt,
    }
    data = with_json_properties(own, text)
    return Event(payload, data, f"{queue}/{message.id}", message.dequeue_count)


def _iso(moment: datetime) -> str:
    return moment.astimezone(timezone.utc).isoformat()
