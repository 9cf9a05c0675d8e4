"""Calls a function that a message starts, in Service Bus or in a storage queue: sends one, waits for the output.

The output is the next message that comes to the output queue, or the output blob: where others send to the same
function at the same time, it may be theirs.
"""

from __future__ import annotations

from contextlib import ExitStack
from uuid import uuid4

from fnpack.invoke import Input, Output
from fnpack.invoke.outputs import awaited, opened_bus, wait
from fnpack.messages.message import Draft, Message
from fnpack.messages.place import Place
from fnpack.messages.storage_queue import StorageQueue
from fnpack_host.app.function_app import Function, FunctionApp
from fnpack_triggers.base import Json
from fnpack_triggers.connections import StorageConnection
from fnpack_triggers.expressions import resolve_settings
from fnpack_triggers.json_data import with_json_properties
from fnpack_triggers.queue.names import poison_queue_of

_SEEN_AT_ONCE = 32


def call_bus(app: FunctionApp, function: Function, given: Input, *, timeout_s: float) -> Output:
    """Send the input to the queue or topic that starts the function, and return the output.

    Raises FunctionFailed once the message is a dead letter, NoAnswer when `timeout_s` has passed.
    """
    from fnpack_triggers.service_bus.entity import source_of

    trigger = function.trigger
    keys = ("queueName", "topicName", "subscriptionName")
    names: dict[str, Json] = {
        key.lower(): resolve_settings(trigger.text(key), app.settings) for key in keys if trigger.text(key)
    }
    entity = source_of(trigger._replace(properties={**trigger.properties, **names}))
    place = (
        Place("topic", entity.name, entity.subscription)
        if entity.subscription
        else Place("queue", entity.name)
    )
    message_id = str(uuid4())
    has_sessions = str(trigger.properties.get("issessionsenabled", "")).lower() == "true"
    session = message_id if has_sessions else None
    data = with_json_properties({"MessageId": message_id}, given.payload.decode("utf-8", "replace"))
    with ExitStack() as stack:
        bus = stack.enter_context(opened_bus(app, trigger))
        output = stack.enter_context(awaited(app, function, data, session))
        dead = stack.enter_context(bus.watch(place, dead_letter=True))
        # only what has no output is watched itself; a look at a place with sessions would take one from the host
        source = None if has_sessions or output is not None else stack.enter_context(bus.watch(place))
        bus.send(place.target, [Draft(given.payload, session_id=session, message_id=message_id)])
        sequence: int | None = None

        def failure() -> str | None:
            found = next((one for one in dead.new() if one.facts.get("id") == message_id), None)
            return None if found is None else _reason(found)

        def is_done() -> bool:
            nonlocal sequence
            if source is None:
                return False
            if sequence is None:
                new = [one.sequence for one in source.new() if one.facts.get("id") == message_id]
                sequence = new[0] if new else -1  # it was gone before anybody could look
            return sequence < 0 or not source.holds(sequence)

        sent = f"the message was sent to {place}"
        return wait(app, function, sent, output, timeout_s, failure, is_done)


def call_queue(app: FunctionApp, function: Function, given: Input, *, timeout_s: float) -> Output:
    """Send the input to the storage queue that starts the function, and return the output.

    Raises FunctionFailed once the message is in the poison queue, NoAnswer when `timeout_s` has passed.
    """
    trigger = function.trigger
    place = Place("storage-queue", resolve_settings(trigger.text("queueName"), app.settings).lower())
    connection = StorageConnection.find(app.settings, trigger.text("connection"))
    encoding = app.host_json.text("extensions.queues.messageEncoding", "base64").lower()
    queue = StorageQueue(connection, place, is_base64=encoding != "none")
    poison = StorageQueue(connection, place, dead_letter=True) if poison_queue_of(place.name) else None
    text = given.payload.decode("utf-8", "replace")
    data = with_json_properties({"QueueTrigger": text}, text)
    with awaited(app, function, data) as output:
        before = {one.facts["id"] for one in _poisoned(poison)}
        queue.send([Draft(given.payload)])
        if output is None:
            return Output(b"", f"sent to {place}; the function has no output that can be awaited")

        def failure() -> str | None:
            found = (one for one in _poisoned(poison) if one.facts["id"] not in before)
            mine = any(one.body == given.payload for one in found)
            return f"its message is in storage-queue:{poison.name}" if mine and poison is not None else None

        return wait(app, function, f"the message was sent to {place}", output, timeout_s, failure)


def _reason(message: Message) -> str:
    names = ("dead_letter_reason", "dead_letter_description")
    return (
        ": ".join(str(message.facts[name]) for name in names if name in message.facts)
        or "it is a dead letter"
    )


def _poisoned(poison: StorageQueue | None) -> list[Message]:
    return poison.peek(_SEEN_AT_ONCE) if poison is not None and poison.exists() else []
