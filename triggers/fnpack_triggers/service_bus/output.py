"""The Service Bus output binding: sends a function's result to the queue or topic that its name says."""

from __future__ import annotations

import asyncio
import hashlib
import json
import uuid
from collections.abc import Mapping

from fnpack_triggers.base import Binding, Json
from fnpack_triggers.expressions import Template
from fnpack_triggers.json_data import split_items
from fnpack_triggers.service_bus.connection import BusConnection
from fnpack_triggers.service_bus.entity import Entity, check_target
from fnpack_triggers.service_bus.options import BusOptions
from fnpack_triggers.service_bus.outbox import Outbox

_BINARY = "application/octet-stream"
_TEXT = "text/plain"
_JSON = "application/json"
_PARENT = "$AzureWebJobsParentId"
_OVERHEAD_BYTES = 1024  # of a message beside its body


class ServiceBusOutput:
    """One `serviceBus` output of a function. Raises BindingError or PatternError when it names no entity."""

    def __init__(
        self, function: str, binding: Binding, connection: BusConnection, options: BusOptions
    ) -> None:
        name, self._is_topic = check_target(binding)
        self.name = Template.parse(name)
        session = binding.text("sessionId")
        self._session = Template.parse(session) if session else None
        self._origin = f"{function}/{binding.name}"
        self._connection, self._options = connection, options
        self._outboxes: dict[str, Outbox] = {}

    async def write(self, value: bytes, data: Mapping[str, Json], *, content_type: str) -> str:
        """Send `value`. Returns the entity's name and how many messages.

        As in Azure's host, text that is a JSON array becomes a message per item; with a `content_type` it is one
        message. The message id depends on the function and on what started it, so that an entity with duplicate
        detection drops the output of a repeat. Where the binding names no session, the trigger's goes on.

        Raises PatternError, BusUnavailable (worth a retry), BusRefused or EntityAbsent.
        """
        from azure.servicebus import ServiceBusMessage

        name = self.name.render(data)
        items = [value] if content_type else split_items(value)
        session, parent = self._session_id(data), data.get("InvocationId")
        origin = _origin_id(self._origin, data)
        messages = [
            ServiceBusMessage(
                item,
                content_type=content_type or _kind_of(item),
                message_id=origin if len(items) == 1 else f"{origin}-{number}",
                session_id=session,
                application_properties={_PARENT: parent} if isinstance(parent, str) else None,
            )
            for number, item in enumerate(items, start=1)
        ]
        outbox = self._outbox(name)
        if len(items) == 1:
            await outbox.send(messages[0], len(items[0]) + _OVERHEAD_BYTES)
            return name
        sends = (
            outbox.send(one, len(item) + _OVERHEAD_BYTES) for one, item in zip(messages, items, strict=True)
        )
        for result in await asyncio.gather(*sends, return_exceptions=True):
            if isinstance(result, BaseException):
                raise result
        return f"{name} ({len(items)} messages)"

    async def close(self) -> None:
        """Close the connections."""
        outboxes, self._outboxes = list(self._outboxes.values()), {}
        await asyncio.gather(*(outbox.close() for outbox in outboxes))

    def _session_id(self, data: Mapping[str, Json]) -> str | None:
        if self._session is not None:
            return self._session.render(data) or None
        found = data.get("SessionIdArray", data.get("SessionId"))
        first = found[0] if isinstance(found, list) and found else found
        return first if isinstance(first, str) and first else None

    def _outbox(self, name: str) -> Outbox:
        if name not in self._outboxes:
            entity = Entity(name, is_topic=self._is_topic)
            self._outboxes[name] = Outbox(self._connection, entity, self._options)
        return self._outboxes[name]


def _kind_of(item: bytes) -> str:
    """The content type of text: a JSON object is JSON."""
    if item.lstrip()[:1] != b"{":
        return _TEXT
    try:
        return _JSON if isinstance(json.loads(item), dict) else _TEXT
    except (ValueError, RecursionError):
        return _TEXT


def _origin_id(function: str, data: Mapping[str, Json]) -> str:
    """An id that a repeat of the same event gets again; a random one where the event has no name of its own."""
    facts = _facts(data)
    if facts is None:
        return str(uuid.uuid4())
    return hashlib.sha256(json.dumps([function, *facts], default=str).encode()).hexdigest()[:32]


def _facts(data: Mapping[str, Json]) -> list[Json] | None:
    """What names the event: a message by its number and times, a blob by its path and version."""
    names = ("MessageId", "SequenceNumber", "EnqueuedTimeUtc")
    if data.get("SequenceNumber"):
        return [data.get(name) for name in names]
    numbers = data.get("SequenceNumberArray")
    if isinstance(numbers, list) and all(numbers):  # a batch; one made up otherwise gets other ids
        return [data.get(f"{name}Array") for name in names]
    properties = data.get("Properties")
    if data.get("BlobTrigger") and isinstance(properties, dict) and properties.get("ETag"):
        return [data.get("BlobTrigger"), properties["ETag"]]
    if data.get("Id") and data.get("InsertionTime") and "QueueTrigger" in data:
        return [data.get("Id"), data.get("InsertionTime")]
    return None
