"""Opens links: finds out what a client's attach means, answers it, or says why not."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fnpack.devbus.amqp.performatives import ATTACH, SOURCE, TARGET, read_described
from fnpack.devbus.amqp.types import Described, Fields, Symbol, UInt, ULong, Value
from fnpack.devbus.entities.errors import BusError, MalformedError, NotAllowedError, UnsupportedError
from fnpack.devbus.entities.namespace import path_of
from fnpack.devbus.entities.queue import MessageQueue
from fnpack.devbus.entities.sessions import Hold
from fnpack.devbus.wire.cbs import CBS, cbs_consumer
from fnpack.devbus.wire.incoming import Consume, IncomingLink, consumer_of
from fnpack.devbus.wire.link import Link
from fnpack.devbus.wire.management import MANAGEMENT, management_consumer
from fnpack.devbus.wire.outgoing import AnswerOutlet, EntityOutlet

if TYPE_CHECKING:
    from fnpack.devbus.wire.session import Session

SESSION_FILTER = "com.microsoft:session-filter"
_TICKS_AT_1970 = 621_355_968_000_000_000
_DEFAULT_WAIT_MS = 60_000
_MAX_REQUEST_BYTES = 1024 * 1024
_SETTLED = 1


class SessionTimeoutError(BusError):
    """No session became free in time."""

    condition, status = "com.microsoft:timeout", 408


@dataclass(frozen=True, slots=True)
class Attach:
    """A client's attach. `source` and `target` have all their fields, or are None."""

    name: str
    handle: int
    client_receives: bool
    snd_settle_mode: Value
    rcv_settle_mode: Value
    source: list[Value] | None
    target: list[Value] | None
    properties: Fields

    @classmethod
    def read(cls, value: Value) -> Attach:
        """Read the performative. Raises DecodeError."""
        fields = ATTACH.read(value)
        handle, properties = fields[1], fields[13]
        return cls(
            str(fields[0]),
            int(handle) if isinstance(handle, int) else 0,
            fields[2] is True,
            fields[3],
            fields[4],
            read_described(SOURCE, fields[5]),
            read_described(TARGET, fields[6]),
            properties if isinstance(properties, dict) else {},
        )

    @property
    def address(self) -> str:
        """The entity that the link is about. Raises BusError."""
        node = self.source if self.client_receives else self.target
        if node is None:  # a transaction coordinator, or nothing
            raise UnsupportedError("links without an address, and transactions, are not supported")
        if not isinstance(node[0], str):
            raise MalformedError("the link has no address")
        return str(node[0])

    @property
    def filters(self) -> Fields:
        """The source's filters."""
        found = self.source[7] if self.source is not None else None
        return found if isinstance(found, dict) else {}


def open_link(session: Session, attach: Attach) -> Link:
    """Make the link and answer the attach. Raises BusError, and then nothing was answered."""
    path = path_of(attach.address)
    node = path.casefold()
    if node == CBS or node.endswith("/" + MANAGEMENT):
        return _open_request_link(session, attach, path, node)
    if not attach.client_receives:
        entity = session.broker.namespace.sendable(path)
        return _open_incoming(session, attach, entity.max_message_bytes, consumer_of(entity))
    queue = session.broker.namespace.receivable(path)
    if SESSION_FILTER in attach.filters:
        return _open_session_receiver(session, attach, queue)
    if queue.settings.requires_session:
        raise NotAllowedError(f"`{queue.name}` has sessions; open a receiver for a session")
    accept(session, attach, queue.max_message_bytes)
    return EntityOutlet(session, attach.handle, queue, deletes=attach.snd_settle_mode == _SETTLED)


def accept(
    session: Session, attach: Attach, max_message_bytes: int, properties: Fields | None = None
) -> None:
    """Answer an attach with an attach: everything as the client has it, seen from the other end."""
    session.send(
        ATTACH.write(
            name=attach.name,
            handle=UInt(attach.handle),
            role=not attach.client_receives,
            snd_settle_mode=attach.snd_settle_mode,
            rcv_settle_mode=attach.rcv_settle_mode,
            source=Described(ULong(SOURCE.code), attach.source or [None] * len(SOURCE.fields)),
            target=Described(ULong(TARGET.code), attach.target or [None] * len(TARGET.fields)),
            initial_delivery_count=UInt(0) if attach.client_receives else None,
            max_message_size=ULong(max_message_bytes),
            properties=properties or {},
        )
    )


def refuse(session: Session, attach: Attach) -> None:
    """Answer an attach that fails: without source and target. The detach that follows says why."""
    session.send(
        ATTACH.write(
            name=attach.name,
            handle=UInt(attach.handle),
            role=not attach.client_receives,
            snd_settle_mode=attach.snd_settle_mode,
            rcv_settle_mode=attach.rcv_settle_mode,
            initial_delivery_count=UInt(0) if attach.client_receives else None,
        )
    )


def _open_incoming(session: Session, attach: Attach, max_bytes: int, consume: Consume) -> IncomingLink:
    link = IncomingLink(session, attach.handle, max_bytes, consume)
    accept(session, attach, max_bytes)
    link.grant()
    return link


def _open_request_link(session: Session, attach: Attach, path: str, node: str) -> Link:
    """A link of requests or of their answers: of tokens, or of an entity's management."""
    if node == CBS:
        consume = cbs_consumer(session)
    else:
        entity = session.broker.namespace.any_entity(path[: -len(MANAGEMENT) - 1])
        consume = management_consumer(session, node, entity)
    if not attach.client_receives:
        return _open_incoming(session, attach, _MAX_REQUEST_BYTES, consume)
    accept(session, attach, _MAX_REQUEST_BYTES)
    return AnswerOutlet(session, attach.handle, node, attach.target[0] if attach.target else None)


def _open_session_receiver(session: Session, attach: Attach, queue: MessageQueue) -> Link:
    wanted = attach.filters[SESSION_FILTER]
    if isinstance(wanted, Described):
        wanted = wanted.value
    if wanted is not None and not isinstance(wanted, str):
        raise MalformedError("the session filter is not a text")
    queue.tick()
    hold = queue.lock_session(None if wanted is None else str(wanted))
    if hold is None:
        return WaitingLink(session, attach, queue)
    return accept_session(session, attach, queue, hold)


def accept_session(session: Session, attach: Attach, queue: MessageQueue, hold: Hold) -> EntityOutlet:
    """Answer with the session that the receiver holds from now on."""
    asked = attach.filters[SESSION_FILTER]
    answer: Value = hold.session_id
    if isinstance(asked, Described):
        answer = Described(asked.descriptor, answer)
    if attach.source is not None:
        attach.source[7] = {Symbol(SESSION_FILTER): answer}
    until_ms = hold.session.locked_until_ms or 0
    ticks = until_ms * 10_000 + _TICKS_AT_1970
    accept(session, attach, queue.max_message_bytes, {Symbol("com.microsoft:locked-until-utc"): ticks})
    deletes = attach.snd_settle_mode == _SETTLED
    outlet = EntityOutlet(session, attach.handle, queue, deletes=deletes, hold=hold)
    outlet.wake()  # arms the alarm for the lock's end
    return outlet


class WaitingLink(Link):
    """A receiver that wants the next free session while none is: its attach is answered later."""

    def __init__(self, session: Session, attach: Attach, queue: MessageQueue) -> None:
        super().__init__(session, attach.handle)
        self._attach = attach
        self._queue = queue
        self._pump = session.broker.pump(queue)
        self._pump.waiting.append(self)
        wait_ms = attach.properties.get("com.microsoft:timeout")
        wait_s = (int(wait_ms) if isinstance(wait_ms, int) else _DEFAULT_WAIT_MS) / 1000
        self._is_over = False
        self._timer: asyncio.TimerHandle = session.broker.loop.call_later(wait_s, self._give_up)

    def flow(self, fields: list[Value]) -> None:
        """Credit for a link that is not open means nothing."""

    def try_accept(self) -> bool:
        """Take a session if one is free: whether the wait is over."""
        if self._is_over:
            return True
        hold = self._queue.lock_session(None)
        if hold is None:
            return False
        self._end()
        self.session.links[self.handle] = accept_session(self.session, self._attach, self._queue, hold)
        self.session.connection.flush()
        return True

    def closed(self) -> None:
        """The client no longer waits."""
        self._end()
        if self in self._pump.waiting:
            self._pump.waiting.remove(self)

    def _end(self) -> None:
        self._is_over = True
        self._timer.cancel()

    def _give_up(self) -> None:
        self.closed()
        refuse(self.session, self._attach)
        self.session.detach(self.handle, SessionTimeoutError(f"`{self._queue.name}`: no session became free"))
        self.session.connection.flush()
