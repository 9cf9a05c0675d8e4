"""Service Bus queues and topics for a person: send, look, take, send dead letters again. It blocks."""

from __future__ import annotations

import logging
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from azure.servicebus import (
    NEXT_AVAILABLE_SESSION,
    ServiceBusClient,
    ServiceBusMessage,
    ServiceBusReceivedMessage,
    ServiceBusReceiver,
    ServiceBusSender,
    ServiceBusSubQueue,
)
from azure.servicebus.exceptions import OperationTimeoutError, ServiceBusError

from fnpack.messages.message import Draft, Message
from fnpack.messages.place import Place
from fnpack_triggers.base import Json
from fnpack_triggers.identity import SyncCredential
from fnpack_triggers.service_bus.connection import BusConnection
from fnpack_triggers.service_bus.event import body_bytes, plain
from fnpack_triggers.service_bus.faults import BusRefused, EntityAbsent, LockLost, translated

if TYPE_CHECKING:
    from azure.servicebus import ServiceBusSessionFilter as NextAvailableSession

Primitive = int | float | bytes | bool | str | UUID
_OF_DEAD_LETTERS = ("DeadLetterReason", "DeadLetterErrorDescription")
_TRY_S = 10.0
_NEEDS_SESSION = "not-allowed"  # the condition of a plain receiver on a place with sessions
_READ_S = 0.02  # how long a read of the connection waits, so how exactly a receive keeps its time
_SHORT_S = 0.2  # what the broker needs to say that there is no more
_AT_ONCE = 100
_MAX_PAGE = 250

# It warns of every try; what counts of that is in the error.
logging.getLogger("azure.servicebus").setLevel(logging.CRITICAL)


class Bus:
    """A namespace; a context manager. Every call may raise BusUnavailable, BusRefused or EntityAbsent."""

    def __init__(self, connection: BusConnection) -> None:
        self._namespace = connection.namespace
        self._credential = None if connection.sign_in is None else SyncCredential(connection.sign_in)
        # Without try_timeout the library waits for ever for a broker that does not answer.
        if self._credential is None:
            self._client = ServiceBusClient.from_connection_string(
                connection.text, retry_total=0, try_timeout=_TRY_S
            )
        else:
            self._client = ServiceBusClient(
                connection.namespace, self._credential, retry_total=0, try_timeout=_TRY_S
            )

    def __enter__(self) -> Bus:
        """Nothing is connected yet."""
        return self

    def __exit__(self, *_: object) -> None:
        """Disconnect."""
        self._client.close()
        if self._credential is not None:
            self._credential.close()

    def send(self, place: Place, drafts: Sequence[Draft]) -> list[str]:
        """Send messages, many in one transfer; returns their ids."""
        messages = [
            ServiceBusMessage(
                one.body,
                content_type=one.content_type,
                session_id=one.session_id,
                message_id=one.message_id or str(uuid4()),
                application_properties=_amqp(one.properties),
            )
            for one in drafts
        ]
        with self._told("send to", place), self._sender(place) as sender:
            for start in range(0, len(messages), _AT_ONCE):
                sender.send_messages(messages[start : start + _AT_ONCE])
        return [str(one.message_id) for one in messages]

    def peek(
        self,
        place: Place,
        count: int,
        *,
        dead_letter: bool = False,
        session: str | None = None,
        after: int = 0,
    ) -> list[Message]:
        """Up to `count` messages from the front, beyond the sequence number `after`; none is taken or locked."""
        found: list[Message] = []
        with (
            suppress(OperationTimeoutError),  # no session is free
            self._told("look at", place),
            self._receiver(place, dead_letter=dead_letter, session=session) as receiver,
        ):
            while len(found) < count:
                page = receiver.peek_messages(min(count - len(found), _MAX_PAGE), sequence_number=after + 1)
                if not page:
                    break
                found += [_message(one) for one in page]
                after = found[-1].sequence
        return found

    @contextmanager
    def watch(
        self, place: Place, *, dead_letter: bool = False, session: str | None = None
    ) -> Iterator[Watch]:
        """What comes to a place from now on."""
        with (
            self._told("look at", place),
            self._receiver(place, dead_letter=dead_letter, session=session) as receiver,
        ):
            yield Watch(receiver)

    def receive(
        self,
        place: Place,
        count: int,
        timeout_s: float,
        *,
        dead_letter: bool = False,
        session: str | None = None,
        requeue: bool = False,
    ) -> Generator[Message, None, None]:
        """Take up to `count` messages, waiting `timeout_s` for the first.

        Each is completed when the next is asked for, so that one that could not be shown stays. With `requeue` each
        is sent again before that, as a new message.
        """
        taken, deadline = 0, time.monotonic() + timeout_s
        with (
            self._told("receive from", place),
            suppress(OperationTimeoutError),  # no session is free
            self._receiver(place, dead_letter=dead_letter, session=session, wait_s=timeout_s) as receiver,
            self._sender(place.target) if requeue else nullcontext() as sender,
        ):
            while taken < count:
                left_s = max(_SHORT_S, deadline - time.monotonic()) if taken == 0 else _SHORT_S
                page = receiver.receive_messages(min(count - taken, _AT_ONCE), max_wait_time=left_s)
                if not page:
                    break
                for one in page:
                    yield _message(one)
                    if sender is not None:
                        sender.send_messages(_again(one))
                    receiver.complete_message(one)
                    taken += 1

    def _sender(self, place: Place) -> ServiceBusSender:
        """Opens a connection when it sends the first message."""
        if place.kind == "topic":
            return self._client.get_topic_sender(place.name)
        return self._client.get_queue_sender(place.name)

    @contextmanager
    def _receiver(
        self, place: Place, *, dead_letter: bool, session: str | None, wait_s: float = 1.0
    ) -> Iterator[ServiceBusReceiver]:
        """A receiver that is closed in the end; for the next free session where there are some and none is named."""
        chosen: str | NextAvailableSession | None = session
        receiver = self._made(place, dead_letter=dead_letter, session=chosen, wait_s=wait_s)
        try:
            receiver.__enter__()
        except ServiceBusError as error:
            receiver.close()
            if session is not None or _NEEDS_SESSION not in str(error):
                raise
            receiver = self._made(
                place, dead_letter=dead_letter, session=NEXT_AVAILABLE_SESSION, wait_s=wait_s
            )
            receiver.__enter__()
        with closing(receiver):
            yield receiver

    def _made(
        self, place: Place, *, dead_letter: bool, session: str | NextAvailableSession | None, wait_s: float
    ) -> ServiceBusReceiver:
        sub_queue = ServiceBusSubQueue.DEAD_LETTER if dead_letter else None
        if place.kind == "topic":
            return self._client.get_subscription_receiver(
                place.name,
                place.rest,
                sub_queue=sub_queue,
                session_id=session,
                socket_timeout=_READ_S,
                max_wait_time=wait_s,
            )
        return self._client.get_queue_receiver(
            place.name,
            sub_queue=sub_queue,
            session_id=session,
            socket_timeout=_READ_S,
            max_wait_time=wait_s,
        )

    @contextmanager
    def _told(self, operation: str, place: Place) -> Iterator[None]:
        """What goes wrong, with what a person can do about it."""
        try:
            with translated(f"{operation} `{place}`", self._namespace):
                yield
        except EntityAbsent as error:
            hint = "check its name; `fnpack dev` creates what the bindings of its app, or --config, name"
            raise EntityAbsent(str(error), hint=hint) from error
        except LockLost as error:
            raise BusRefused(
                f"the lock of a message of `{place}` ran out, so it is there again",
                hint="take fewer messages at once, with --count",
            ) from error


class Watch:
    """Sees the messages that come to a place, and takes none."""

    def __init__(self, receiver: ServiceBusReceiver) -> None:
        self._receiver = receiver
        self._last = _last_sequence(receiver)

    def new(self) -> list[Message]:
        """Those that have come since the last call."""
        found = [
            _message(one) for one in self._receiver.peek_messages(_MAX_PAGE, sequence_number=self._last + 1)
        ]
        if found:
            self._last = found[-1].sequence
        return found

    def holds(self, sequence: int) -> bool:
        """Whether the message of that number is still there, waiting or being worked on."""
        page = self._receiver.peek_messages(1, sequence_number=sequence)
        return any(one.sequence_number == sequence for one in page)


def _last_sequence(receiver: ServiceBusReceiver) -> int:
    """The number of the newest message, 0 where there is none; found without looking at them all."""
    low, step = 0, 1
    while page := receiver.peek_messages(1, sequence_number=low + step):
        low, step = page[0].sequence_number or 0, step * 2
    high = low + step
    while high - low > 1:
        middle = (low + high) // 2
        page = receiver.peek_messages(1, sequence_number=middle)
        if page:
            low = page[0].sequence_number or middle
        else:
            high = middle
    return low


def _message(one: ServiceBusReceivedMessage) -> Message:
    properties: dict[str, Json] = {key: plain(value) for key, value in _own_properties(one).items()}
    facts: dict[str, Json] = {
        "id": str(one.message_id) if one.message_id is not None else None,
        "sequence_number": one.sequence_number,
        "enqueued": one.enqueued_time_utc.isoformat(timespec="milliseconds")
        if one.enqueued_time_utc
        else None,
        "delivery_count": one.delivery_count or None,
        "content_type": one.content_type,
        "session_id": one.session_id,
        "correlation_id": str(one.correlation_id) if one.correlation_id is not None else None,
        "subject": one.subject,
        "dead_letter_reason": one.dead_letter_reason,
        "dead_letter_description": one.dead_letter_error_description,
        "properties": properties or None,
    }
    known = {name: value for name, value in facts.items() if value is not None}
    return Message(body_bytes(one), known, one.sequence_number or 0)


def _again(one: ServiceBusReceivedMessage) -> ServiceBusMessage:
    """A new message like a dead letter: with an id of its own, which no duplicate detection knows."""
    return ServiceBusMessage(
        body_bytes(one),
        content_type=one.content_type,
        session_id=one.session_id,
        subject=one.subject,
        to=one.to,
        reply_to=one.reply_to,
        correlation_id=one.correlation_id,
        message_id=str(uuid4()),
        application_properties=_amqp(_own_properties(one)),
    )


def _own_properties(one: ServiceBusReceivedMessage) -> Mapping[str, Primitive]:
    """The application properties, without those in which the broker says why a message is a dead letter."""
    found = {str(plain(key)): value for key, value in (one.application_properties or {}).items()}
    return {key: value for key, value in found.items() if key not in _OF_DEAD_LETTERS}


def _amqp(properties: Mapping[str, Primitive]) -> dict[str | bytes, Primitive] | None:
    return {key: value for key, value in properties.items()} or None  # noqa: C416 - another type of key
