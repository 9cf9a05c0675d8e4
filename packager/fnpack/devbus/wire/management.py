"""The `$management` node of an entity: what clients ask for in requests instead of links."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING
from uuid import UUID

from fnpack.devbus.amqp.message import parse_message
from fnpack.devbus.amqp.types import AmqpError, Array, DecodeError, Fields, Int, Symbol, Timestamp, Value
from fnpack.devbus.entities.errors import (
    BusError,
    MalformedError,
    MessageNotFoundError,
    NotAllowedError,
    UndecodableError,
)
from fnpack.devbus.entities.intake import SCHEDULED_ANNOTATION, Intake
from fnpack.devbus.entities.queue import MessageQueue
from fnpack.devbus.entities.stored import Stored
from fnpack.devbus.entities.topic import Subscription
from fnpack.devbus.filters.sql_tokens import SqlFilterError
from fnpack.devbus.wire.requests import answer, read_request
from fnpack.devbus.wire.rules import describe_rule, read_rule
from fnpack.devbus.wire.settlement import properties, text

if TYPE_CHECKING:
    from fnpack.devbus.wire.incoming import Consume
    from fnpack.devbus.wire.session import Session

MANAGEMENT = "$management"
_PREFIX = "com.microsoft:"
_MAX_ANSWER_BYTES = 900 * 1024
_ALL_SESSIONS_FROM_MS = (
    253_402_300_799_000  # clients ask for sessions updated after the end of time to get all
)
_DELETES = 0  # receiver-settle-mode first
_Operation = Callable[[Intake, Fields], "Fields | None"]


def management_consumer(session: Session, node: str, entity: Intake) -> Consume:
    """What an entity's management link does with requests."""

    def consume(raw: bytes, _message_format: int) -> None:
        request = read_request(raw)
        status, application, body = _perform(entity, request.operation, request.body)
        session.broker.pump(
            entity
        ).wake()  # a lock or a scheduled message may have to be looked after earlier
        answer(session, node, request, {"statusCode": Int(status), **application}, body)

    return consume


def _perform(entity: Intake, name: str, body: Value) -> tuple[int, Fields, Value]:
    """Status, more application properties, and body of the answer."""
    operation = _OPERATIONS.get(name.removeprefix(_PREFIX))
    try:
        if operation is None:
            raise NotAllowedError(f"the operation `{name[:100]}` is unknown")
        if not isinstance(body, dict):
            raise MalformedError("the body is not a map")
        entity.tick()
        result = operation(entity, body)
    except BusError as exc:
        return exc.status, {"statusDescription": str(exc), "errorCondition": Symbol(exc.condition)}, None
    except (AmqpError, SqlFilterError) as exc:
        return 400, {"statusDescription": str(exc), "errorCondition": Symbol(MalformedError.condition)}, None
    if result is None:
        condition = Symbol(MessageNotFoundError.condition)
        return 204, {"statusDescription": "NoContent", "errorCondition": condition}, {}
    return 200, {"statusDescription": "OK"}, result


def _renew_lock(entity: Intake, body: Fields) -> Fields:
    queue = _queue(entity)
    ends: list[Value] = [Timestamp(queue.renew(token)) for token in _tokens(body)]
    return {"expirations": Array(0x83, tuple(ends))}


def _update_disposition(entity: Intake, body: Fields) -> Fields:
    queue, status = _queue(entity), body.get("disposition-status")
    changes = properties(body.get("properties-to-modify"))
    reason, description = text(body.get("deadletter-reason")), text(body.get("deadletter-description"))
    for token in _tokens(body):
        match status:
            case "completed":
                queue.complete(token)
            case "abandoned":
                queue.abandon(token, changes)
            case "defered" | "deferred":
                queue.defer(token, changes)
            case "suspended":
                queue.dead_letter(token, reason, description, changes)
            case _:
                raise MalformedError("the disposition-status is unknown")
    return {}


def _peek(entity: Intake, body: Fields) -> Fields | None:
    count = max(1, min(_number(body, "message-count", 1), 1000))
    session_id = text(body.get("session-id"))
    found = entity.peek(_number(body, "from-sequence-number", 0), count, session_id)
    messages = _encoded(found)
    return {"messages": messages} if messages else None


def _receive_by_sequence_number(entity: Intake, body: Fields) -> Fields | None:
    deletes = _number(body, "receiver-settle-mode", 1) == _DELETES
    numbers = _numbers(body, "sequence-numbers")
    found = _queue(entity).take_deferred(numbers, delete=deletes, session_id=text(body.get("session-id")))
    messages: list[Value] = []
    for stored in found:
        token = UUID(bytes_le=stored.token or bytes(16))
        messages.append({"lock-token": token, "message": stored.encode(with_state=True, with_token=True)})
    return {"messages": messages}


def _schedule(entity: Intake, body: Fields) -> Fields:
    wanted = _items(body, "messages")
    ready = []
    for one in wanted:
        raw = one.get("message") if isinstance(one, dict) else None
        if not isinstance(raw, bytes):
            raise MalformedError("a message to schedule is missing")
        try:
            message = parse_message(raw)
        except DecodeError as exc:
            raise UndecodableError(f"a message to schedule cannot be decoded: {exc}") from exc
        due_ms = message.annotation(SCHEDULED_ANNOTATION)
        if not isinstance(due_ms, int):
            raise MalformedError(f"a message to schedule has no {SCHEDULED_ANNOTATION}")
        entity.check(message, len(raw))
        ready.append((message, int(due_ms), len(raw)))
    numbers: list[Value] = [entity.schedule(*one) for one in ready]
    return {"sequence-numbers": Array(0x81, tuple(numbers))}


def _cancel_scheduled(entity: Intake, body: Fields) -> Fields:
    entity.cancel_scheduled(_numbers(body, "sequence-numbers"))
    return {}


def _get_session_state(entity: Intake, body: Fields) -> Fields:
    return {"session-state": _queue(entity).session_state(_session_id(body))}


def _set_session_state(entity: Intake, body: Fields) -> Fields:
    state, queue = body.get("session-state"), _queue(entity)
    if state is not None and not isinstance(state, bytes):
        raise MalformedError("the session-state is not binary")
    if state is not None and len(state) > queue.max_message_bytes:
        raise MalformedError(f"the session-state has more than {queue.max_message_bytes} bytes")
    queue.set_session_state(_session_id(body), state)
    return {}


def _renew_session_lock(entity: Intake, body: Fields) -> Fields:
    queue = _queue(entity)
    return {"expiration": Timestamp(queue.sessions.renew(_session_id(body), queue.clock()))}


def _get_message_sessions(entity: Intake, body: Fields) -> Fields | None:
    queue = _queue(entity)
    if not queue.settings.requires_session:
        raise NotAllowedError(f"`{queue.name}` has no sessions")
    after = _number(body, "last-updated-time", _ALL_SESSIONS_FROM_MS)
    skip, top = _number(body, "skip", 0), max(1, min(_number(body, "top", 100), 1000))
    ids = queue.sessions.listing(None if after > _ALL_SESSIONS_FROM_MS else after)[skip : skip + top]
    return {"skip": Int(skip + len(ids)), "sessions-ids": list[Value](ids)} if ids else None


def _add_rule(entity: Intake, body: Fields) -> Fields:
    _subscription(entity).add_rule(read_rule(body))
    return {}


def _remove_rule(entity: Intake, body: Fields) -> Fields:
    _subscription(entity).remove_rule(text(body.get("rule-name")) or "")
    return {}


def _enumerate_rules(entity: Intake, body: Fields) -> Fields | None:
    skip, top = _number(body, "skip", 0), max(1, min(_number(body, "top", 100), 1000))
    rules = list(_subscription(entity).rules.values())[skip : skip + top]
    return {"rules": [{"rule-description": describe_rule(rule)} for rule in rules]} if rules else None


_OPERATIONS: dict[str, _Operation] = {
    "renew-lock": _renew_lock,
    "update-disposition": _update_disposition,
    "peek-message": _peek,
    "receive-by-sequence-number": _receive_by_sequence_number,
    "schedule-message": _schedule,
    "cancel-scheduled-message": _cancel_scheduled,
    "get-session-state": _get_session_state,
    "set-session-state": _set_session_state,
    "renew-session-lock": _renew_session_lock,
    "get-message-sessions": _get_message_sessions,
    "add-rule": _add_rule,
    "remove-rule": _remove_rule,
    "enumerate-rules": _enumerate_rules,
}


def _encoded(found: list[Stored]) -> list[Value]:
    """Messages for an answer: as many as fit, at least one."""
    messages: list[Value] = []
    size = 0
    for stored in found:
        raw = stored.encode(with_state=True)
        size += len(raw)
        if messages and size > _MAX_ANSWER_BYTES:
            break
        messages.append({"message": raw})
    return messages


def _queue(entity: Intake) -> MessageQueue:
    if not isinstance(entity, MessageQueue):
        raise NotAllowedError(f"`{entity.name}` is a topic; ask one of its subscriptions")
    return entity


def _subscription(entity: Intake) -> Subscription:
    if not isinstance(entity, Subscription):
        raise NotAllowedError(f"`{entity.name}` is not a subscription and has no rules")
    return entity


def _items(body: Fields, key: str) -> list[Value]:
    value = body.get(key)
    if isinstance(value, Array):
        return list(value.items)
    if not isinstance(value, list):
        raise MalformedError(f"`{key}` is missing")
    return value


def _tokens(body: Fields) -> list[bytes]:
    found = _items(body, "lock-tokens")
    tokens = [one.bytes_le for one in found if isinstance(one, UUID)]
    if len(tokens) != len(found) or not tokens:
        raise MalformedError("`lock-tokens` are not UUIDs")
    return tokens


def _numbers(body: Fields, key: str) -> list[int]:
    found = _items(body, key)
    numbers = [int(one) for one in found if isinstance(one, int)]
    if len(numbers) != len(found):
        raise MalformedError(f"`{key}` are not numbers")
    return numbers


def _number(body: Fields, key: str, default: int) -> int:
    value = body.get(key, default)
    if not isinstance(value, int) or isinstance(value, bool):
        raise MalformedError(f"`{key}` is not a number")
    return int(value)


def _session_id(body: Fields) -> str:
    found = text(body.get("session-id"))
    if found is None:
        raise MalformedError("`session-id` is missing")
    return found
