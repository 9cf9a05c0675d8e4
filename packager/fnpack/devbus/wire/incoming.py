"""A link on which a client sends: puts transfers together to messages and answers each with its outcome."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from fnpack.devbus.amqp.message import BATCH_FORMAT, parse_message, split_batch
from fnpack.devbus.amqp.performatives import ACCEPTED, REJECTED, error
from fnpack.devbus.amqp.types import DecodeError, Described, Value
from fnpack.devbus.entities.errors import BusError, MessageSizeError, UndecodableError
from fnpack.devbus.entities.intake import Intake
from fnpack.devbus.wire.errors import ProtocolError
from fnpack.devbus.wire.link import Link

if TYPE_CHECKING:
    from fnpack.devbus.wire.session import Session

Consume = Callable[[bytes, int], None]
CREDIT = 1000
_ACCEPTED = ACCEPTED.write()


class IncomingLink(Link):
    """Hands each whole message to `consume(bytes, message_format)`, which raises BusError to reject it."""

    def __init__(self, session: Session, handle: int, max_message_bytes: int, consume: Consume) -> None:
        super().__init__(session, handle)
        self._max_message_bytes = max_message_bytes
        self._consume = consume
        self._parts: list[bytes] = []
        self.pending_bytes = 0
        self._is_too_large = False
        self._first: list[Value] | None = None
        self._delivery_id = 0
        self._delivery_count = 0
        self._credit = 0

    def grant(self) -> None:
        """Let the client send; called once it knows of the link, and when it has used up half."""
        self._credit = CREDIT
        self.session.send_flow(self.handle, self._delivery_count, CREDIT)

    def flow(self, fields: list[Value]) -> None:
        """Answer a client that asks, or that has run out of credit."""
        if fields[9] is True or (fields[6] == 0 and self._credit < CREDIT):
            self.grant()

    def transfer(self, fields: list[Value], payload: bytes) -> None:
        """A part of a message, or all of it."""
        if self._first is None:
            if not isinstance(fields[1], int):
                raise ProtocolError("amqp:invalid-field", "a transfer has no delivery-id")
            self._first, self._delivery_id = fields, int(fields[1])
        if fields[9] is True:  # aborted: as if it had never begun
            self._reset()
            return
        self._collect(payload)
        if fields[5] is True:
            return
        first, delivery_id, message = self._first, self._delivery_id, b"".join(self._parts)
        is_too_large = self._is_too_large
        self._reset()
        self._delivery_count = (self._delivery_count + 1) % 2**32
        self._credit -= 1
        outcome = self._outcome(message, first[3], is_too_large)
        if first[4] is not True and fields[4] is not True:
            self.session.send_disposition(delivery_id, outcome, as_receiver=True)
        if self._credit <= CREDIT // 2:
            self.grant()

    def _collect(self, payload: bytes) -> None:
        self.pending_bytes += len(payload)
        if self._is_too_large or self.pending_bytes > self._max_message_bytes:
            self._is_too_large = True  # the rest is read and dropped; the answer comes with the last part
            self._parts.clear()
            self.pending_bytes = 0
            return
        self._parts.append(payload)
        if (
            len(self._parts) > 1
            and self.session.connection.pending_bytes() > self.session.broker.limits.max_pending_bytes
        ):
            raise ProtocolError("amqp:resource-limit-exceeded", "too many messages are sent in parts at once")

    def _reset(self) -> None:
        self._parts = []
        self.pending_bytes = 0
        self._is_too_large = False
        self._first = None

    def _outcome(self, message: bytes, message_format: Value, is_too_large: bool) -> Described:
        try:
            if is_too_large:
                raise MessageSizeError(f"the message has more than {self._max_message_bytes} bytes")
            self._consume(message, int(message_format) if isinstance(message_format, int) else 0)
        except BusError as exc:
            return REJECTED.write(error=error(exc.condition, str(exc)))
        return _ACCEPTED


def consumer_of(entity: Intake) -> Consume:
    """What a sender's link does with messages: all of a batch is taken, or nothing."""

    def consume(raw: bytes, message_format: int) -> None:
        try:
            parts = split_batch(raw) if message_format == BATCH_FORMAT else [raw]
            messages = [(parse_message(part), len(part)) for part in parts]
        except DecodeError as exc:
            raise UndecodableError(f"`{entity.name}`: the message cannot be decoded: {exc}") from exc
        if len(messages) > 1:
            for message, size in messages:
                entity.check(message, size)
        for message, size in messages:
            entity.send(message, size)

    return consume
