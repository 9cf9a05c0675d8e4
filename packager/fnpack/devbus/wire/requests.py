"""Requests that come as messages, and the way their answers take back to the client."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fnpack.devbus.amqp.message import Message, body_value, parse_message, value_message
from fnpack.devbus.amqp.types import DecodeError, Fields, Value
from fnpack.devbus.entities.errors import UndecodableError
from fnpack.devbus.wire.outgoing import AnswerOutlet

if TYPE_CHECKING:
    from fnpack.devbus.wire.session import Session


@dataclass(frozen=True, slots=True)
class Request:
    """A request: its application properties and the value in its body."""

    message: Message
    application: Fields
    body: Value

    @property
    def operation(self) -> str:
        """What is asked for."""
        return str(self.application.get("operation", ""))


def read_request(raw: bytes) -> Request:
    """Read a request. Raises UndecodableError."""
    try:
        message = parse_message(raw)
        return Request(message, message.application or {}, body_value(message))
    except DecodeError as exc:
        raise UndecodableError(f"the request cannot be decoded: {exc}") from exc


def answer(session: Session, node: str, request: Request, application: Fields, body: Value) -> None:
    """Send the answer on the session's link from that node; the one the request names, if it names one.

    The token link's requests name none. Without a link to answer on, nobody waits for the answer.
    """
    outlets = [
        link for link in session.links.values() if isinstance(link, AnswerOutlet) and link.node == node
    ]
    wanted = request.message.value_of("reply_to")
    named = [outlet for outlet in outlets if outlet.reply_to == wanted]
    correlation_id = request.message.value_of("message_id")
    for outlet in (named or outlets)[-1:]:
        outlet.answer(value_message(body, application, correlation_id))
