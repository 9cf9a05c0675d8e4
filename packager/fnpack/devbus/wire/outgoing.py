"""Links on which messages leave: to receivers of an entity, and answers to requests."""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from typing import TYPE_CHECKING

from fnpack.devbus.amqp.types import Value
from fnpack.devbus.entities.errors import QuotaError, SessionLockLostError
from fnpack.devbus.entities.queue import MessageQueue
from fnpack.devbus.entities.sessions import Hold
from fnpack.devbus.wire.link import Link
from fnpack.devbus.wire.settlement import Unsettled

if TYPE_CHECKING:
    from fnpack.devbus.wire.session import Session

_MODULUS = 2**32
_MAX_ANSWERS_WAITING = 1000


class OutgoingLink(Link):
    """Counts the credit that the client gives."""

    def __init__(self, session: Session, handle: int) -> None:
        super().__init__(session, handle)
        self.credit = 0
        self._delivery_count = 0
        self._drains = False

    @abstractmethod
    def wake(self) -> None:
        """Something may be sent now."""

    def flow(self, fields: list[Value]) -> None:
        """The client gives credit, or wants the rest of it used up."""
        credit, count = fields[6], fields[5]
        if isinstance(credit, int):
            base = int(count) if isinstance(count, int) else 0
            left = (base + int(credit) - self._delivery_count) % _MODULUS
            self.credit = left if left < 2**31 else 0
        self._drains = fields[8] is True
        if fields[9] is True:
            self.session.send_flow(self.handle, self._delivery_count, self.credit)
        self.wake()

    def _sent(self) -> None:
        self.credit -= 1
        self._delivery_count = (self._delivery_count + 1) % _MODULUS

    def _finish_drain(self) -> None:
        """Nothing more can be sent: the client's credit is void, and it is told so."""
        if self._drains:
            self._drains = False
            self._delivery_count = (self._delivery_count + self.credit) % _MODULUS
            self.credit = 0
            self.session.send_flow(self.handle, self._delivery_count, 0, drain=True)


class EntityOutlet(OutgoingLink):
    """A receiver of a queue; `hold` if it holds a session. `deletes`: messages are gone once they are sent."""

    def __init__(
        self, session: Session, handle: int, queue: MessageQueue, *, deletes: bool, hold: Hold | None = None
    ) -> None:
        super().__init__(session, handle)
        self.queue = queue
        self.hold = hold
        self._deletes = deletes
        self._pump = session.broker.pump(queue)
        self._pump.receivers.append(self)

    def wake(self) -> None:
        """Let the pump look at this link."""
        self._pump.wake()

    def deliver(self) -> bool:
        """Send one message if there is one and the client has room for it: whether one was sent."""
        if self.credit <= 0 or not self.session.has_room or (self.hold is not None and self.hold.is_lost):
            return False
        take = self.queue.take_and_delete if self._deletes else self.queue.take
        stored = take(self.hold)
        if stored is None:
            return False
        self._sent()
        token = stored.token or bytes(16)
        delivery_id = self.session.send_message(self.handle, token, stored.encode(), settled=self._deletes)
        if not self._deletes:
            self._remember(delivery_id, token)
        return True

    def settle_turn(self) -> None:
        """The turn is over: answer a drain, end the link if its session is lost, write it all."""
        self._finish_drain()
        if self.hold is not None and self.hold.is_lost:
            self.closed()
            lost = SessionLockLostError(f"the lock of session `{self.hold.session_id}` is lost")
            self.session.detach(self.handle, lost)
        self.session.connection.flush()

    def closed(self) -> None:
        """The receiver is gone. A session is free again; messages locked without one stay locked."""
        if self in self._pump.receivers:
            self._pump.receivers.remove(self)
        if self.hold is not None:
            self.queue.release_session(self.hold)

    def _remember(self, delivery_id: int, token: bytes) -> None:
        unsettled = self.session.unsettled
        unsettled[delivery_id] = Unsettled(self.queue, token)
        if len(unsettled) > self.session.broker.limits.max_unsettled:
            del unsettled[
                next(iter(unsettled))
            ]  # its lock stays the queue's; settling it will be told as lost


class AnswerOutlet(OutgoingLink):
    """The answers to requests of one session, to the client that made them."""

    def __init__(self, session: Session, handle: int, node: str, reply_to: Value) -> None:
        super().__init__(session, handle)
        self.node = node
        self.reply_to = reply_to
        self._answers: deque[bytes] = deque()

    def answer(self, message: bytes) -> None:
        """Send an answer as soon as the client has room. Raises QuotaError if it never makes any."""
        if len(self._answers) >= _MAX_ANSWERS_WAITING:
            raise QuotaError("too many answers wait to be read")
        self._answers.append(message)
        self.wake()

    def wake(self) -> None:
        """Send what can be sent."""
        while self._answers and self.credit > 0 and self.session.has_room:
            tag = self.session.next_delivery_id.to_bytes(16, "big")
            self.session.send_message(self.handle, tag, self._answers.popleft(), settled=True)
            self._sent()
        if not self._answers:
            self._finish_drain()
        self.session.connection.flush()
