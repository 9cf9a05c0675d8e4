"""A message in an entity, and what a receiver gets to see of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from fnpack.devbus.amqp.message import Message, delivery_annotations, delivery_header, lock_token_annotation
from fnpack.devbus.amqp.types import Fields, Int, Symbol, Timestamp

_OWNED = frozenset(
    (
        "x-opt-sequence-number",
        "x-opt-enqueued-time",
        "x-opt-locked-until",
        "x-opt-message-state",
        "x-opt-lock-token",
    )
)
_SCHEDULED = Symbol("x-opt-scheduled-enqueue-time")


class State(IntEnum):
    """Where a message is in its life, as `x-opt-message-state` counts it."""

    ACTIVE = 0
    DEFERRED = 1
    SCHEDULED = 2


@dataclass(slots=True)
class Stored:
    """A message in an entity. `token` and `locked_until_ms` are set while somebody holds it.

    `due_ms` is when a scheduled message becomes active; `expires_ms` None: never; `enqueue_sequence` is the number
    that the message had where it was sent, `hops` how often it has been forwarded.
    """

    message: Message
    sequence: int
    enqueued_ms: int
    state: State = State.ACTIVE
    expires_ms: int | None = None
    due_ms: int | None = None
    delivery_count: int = 0
    enqueue_sequence: int | None = None
    dead_letter_source: str | None = None
    hops: int = 0
    token: bytes | None = None
    locked_until_ms: int | None = None

    def encode(self, *, with_state: bool = False, with_token: bool = False) -> bytes:
        """The message for a receiver: header and annotations are the broker's, the rest is as it was sent.

        `with_token` adds the lock token as delivery annotation, where clients before 7.15 look for it.
        """
        message = self.message
        others: Fields = {}
        if message.annotations:
            others = {key: value for key, value in message.annotations.items() if key not in _OWNED}
        if self.due_ms is not None:
            others[_SCHEDULED] = Timestamp(self.due_ms)
        if self.enqueue_sequence is not None:
            others[Symbol("x-opt-enqueue-sequence-number")] = self.enqueue_sequence
        if self.dead_letter_source is not None:
            others[Symbol("x-opt-deadletter-source")] = self.dead_letter_source
        if with_state or self.state != State.ACTIVE:
            others[Symbol("x-opt-message-state")] = Int(self.state)
        annotations = delivery_annotations(self.sequence, self.enqueued_ms, self.locked_until_ms, others)
        delivery = delivery_header(message, self.delivery_count)
        if with_token and self.token is not None:
            delivery += lock_token_annotation(self.token)
        return b"".join((delivery, annotations, message.bare()))
