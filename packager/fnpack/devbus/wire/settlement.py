"""What a receiver decides about its deliveries: AMQP outcomes become operations on the queue that holds the lock."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fnpack.devbus.amqp.performatives import (
    ACCEPTED,
    ERROR,
    MODIFIED,
    REJECTED,
    RELEASED,
    code_of,
    error,
    read_described,
)
from fnpack.devbus.amqp.types import DecodeError, Described, EncodeError, Fields, Value
from fnpack.devbus.entities.errors import BusError, MalformedError, MessageLockLostError

if TYPE_CHECKING:
    from fnpack.devbus.entities.queue import MessageQueue
    from fnpack.devbus.wire.session import Session

_REASON, _DESCRIPTION = "DeadLetterReason", "DeadLetterErrorDescription"
_ACCEPTED, _REJECTED, _RELEASED = ACCEPTED.write(), REJECTED.write(), RELEASED.write()


@dataclass(frozen=True, slots=True)
class Unsettled:
    """A delivery that the client has not decided about."""

    queue: MessageQueue
    token: bytes


def settle_range(session: Session, fields: list[Value]) -> None:
    """A disposition: settle the deliveries it names, and answer unless the client has settled already."""
    role, first, last, settled, state, _ = fields
    if role is not True or not isinstance(first, int):
        return  # what a sender says of its own messages: they were settled when they came
    numbers = range(int(first), (int(last) if isinstance(last, int) else int(first)) + 1)
    if len(numbers) == 1 or len(numbers) <= len(session.unsettled):
        chosen: Iterable[int] = numbers
    else:  # both ends are the client's to choose; walk what is known
        chosen = [number for number in session.unsettled if number in numbers]
    for number in chosen:
        answer = _settle_one(session, number, state, settled is True)
        if answer is not None and settled is not True:
            session.send_disposition(number, answer, as_receiver=False)


def _settle_one(session: Session, number: int, state: Value, settled: bool) -> Described | None:
    """The outcome to tell, or None if the client has not decided yet."""
    if not isinstance(state, Described):
        if not settled:
            return None
        state = _RELEASED
    delivery = session.unsettled.pop(number, None)
    try:
        if delivery is None:
            raise MessageLockLostError("the delivery is unknown, or settled already")
        answer = _apply(delivery, state)
    except BusError as exc:
        return REJECTED.write(error=error(exc.condition, str(exc)))
    except (DecodeError, EncodeError) as exc:
        return REJECTED.write(error=error(MalformedError.condition, str(exc)))
    if answer is None and delivery is not None:
        session.unsettled[number] = delivery
    return answer


def _apply(delivery: Unsettled, state: Described) -> Described | None:
    queue, token = delivery.queue, delivery.token
    match code_of(state):
        case ACCEPTED.code:
            queue.complete(token)
            return _ACCEPTED
        case RELEASED.code:
            queue.release(token)
            return _RELEASED
        case MODIFIED.code:
            _, elsewhere, changes = MODIFIED.read(state.value)
            settle = queue.defer if elsewhere is True else queue.abandon
            settle(token, properties(changes))
            return state
        case REJECTED.code:
            reason, description, changes = _dead_letter(state)
            queue.dead_letter(token, reason, description, properties(changes))
            return _REJECTED
    return None  # `received`: not an outcome


def _dead_letter(state: Described) -> tuple[str | None, str | None, Fields]:
    """Reason, description and property changes of a rejection."""
    fault = read_described(ERROR, REJECTED.read(state.value)[0])
    if fault is None:
        return None, None, {}
    info = dict(fault[2]) if isinstance(fault[2], dict) else {}
    reason, description = info.pop(_REASON, None), info.pop(_DESCRIPTION, None)
    return text(reason), text(description), info


def text(value: Value) -> str | None:
    """A text as plain text, anything else as None."""
    return str(value) if isinstance(value, str) else None


def properties(changes: Value) -> Fields:
    """Changes of application properties, with keys as application properties have them."""
    if not isinstance(changes, dict):
        return {}
    return {str(key): value for key, value in changes.items() if isinstance(key, str)}
