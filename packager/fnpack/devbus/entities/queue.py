"""A queue, a subscription or a sub-queue: who may take which message, and what becomes of it."""

from __future__ import annotations

import heapq
import os
from collections.abc import Callable, Iterable
from dataclasses import replace

from fnpack.devbus.amqp.message import Message
from fnpack.devbus.amqp.types import Fields
from fnpack.devbus.entities.deadlines import Deadlines
from fnpack.devbus.entities.errors import (
    BusError,
    MessageLockLostError,
    MessageNotFoundError,
    NotAllowedError,
    SessionLockLostError,
)
from fnpack.devbus.entities.intake import DIRECT, LATEST_MS, Clock, Intake, Origin
from fnpack.devbus.entities.journal import Journal
from fnpack.devbus.entities.sessions import Hold, Session, Sessions, push_ready
from fnpack.devbus.entities.settings import QueueSettings
from fnpack.devbus.entities.stored import State, Stored

DEAD_LETTER_SUFFIX = "/$DeadLetterQueue"
TRANSFER_SUFFIX = "/$Transfer/$DeadLetterQueue"
Forward = Callable[[str, Message, int], None]


class MessageQueue(Intake):
    """A queue. Tokens are the 16 bytes of a lock. Locks belong to the queue: a receiver that goes away keeps them."""

    def __init__(
        self,
        name: str,
        settings: QueueSettings,
        clock: Clock,
        journal: Journal,
        forward: Forward | None = None,
    ) -> None:
        super().__init__(name, settings, clock, journal)
        self.settings = settings
        self.sessions = Sessions(settings.lock_ms)
        self._forward = forward
        self._ready: list[int] = []
        self._locked: dict[bytes, Stored] = {}
        self._lock_ends: Deadlines[int] = Deadlines()
        self._expiries: Deadlines[int] = Deadlines()
        self.dead_letters: MessageQueue | None = None
        self.transfer_dead_letters: MessageQueue | None = None
        if not name.endswith(DEAD_LETTER_SUFFIX):
            below = settings.of_dead_letters()
            self.dead_letters = MessageQueue(name + DEAD_LETTER_SUFFIX, below, clock, journal, forward)
            below = replace(below, forward_to=None)
            self.transfer_dead_letters = MessageQueue(name + TRANSFER_SUFFIX, below, clock, journal)
        self._restore()

    # -- taking ------------------------------------------------------------------------------------

    def has_ready(self, session: Session | None = None) -> bool:
        """Whether `take` would give a message."""
        ready = self._ready if session is None else session.ready
        while ready and not self._is_free(ready[0]):
            heapq.heappop(ready)
        return bool(ready)

    def take(self, hold: Hold | None = None) -> Stored | None:
        """Lock the first message that is free, of the session held if the queue has sessions."""
        if hold is not None and hold.is_lost:
            raise SessionLockLostError(f"session `{hold.session_id}` is no longer held")
        session = hold.session if hold else None
        if not self.has_ready(session):
            return None
        stored = self._messages[heapq.heappop(self._ready if session is None else session.ready)]
        self._lock(stored)
        return stored

    def take_and_delete(self, hold: Hold | None = None) -> Stored | None:
        """Remove the first message that is free, for good."""
        stored = self.take(hold)
        if stored is not None and stored.token is not None:
            self.complete(stored.token)
            stored.locked_until_ms = None
        return stored

    def take_deferred(
        self, sequences: Iterable[int], *, delete: bool, session_id: str | None
    ) -> list[Stored]:
        """Lock (or delete) deferred messages by number. Raises MessageNotFoundError; then none is taken."""
        found: list[Stored] = []
        for sequence in dict.fromkeys(sequences):
            stored = self._messages.get(sequence)
            if stored is None or stored.state is not State.DEFERRED or stored.token is not None:
                raise MessageNotFoundError(f"`{self.name}`: no deferred message has the number {sequence}")
            if session_id is not None and stored.message.session_id != session_id:
                raise MessageNotFoundError(f"`{self.name}`: message {sequence} is of another session")
            found.append(stored)
        for stored in found:
            self._lock(stored)
            if delete and stored.token is not None:
                self.complete(stored.token)
                stored.locked_until_ms = None
        return found

    # -- settling ----------------------------------------------------------------------------------

    def complete(self, token: bytes) -> None:
        """The message is done with. Raises MessageLockLostError, as all of these."""
        self._drop(self._unlock(token))

    def abandon(self, token: bytes, changes: Fields | None = None) -> None:
        """Give the message back as a failed attempt; too many, and it becomes a dead letter."""
        stored = self._unlock(token)
        self._change(stored, changes)
        self._failed(stored)
        self.on_change()

    def release(self, token: bytes) -> None:
        """Give the message back as if it had not been taken."""
        self._give_back(self._unlock(token))
        self.on_change()

    def defer(self, token: bytes, changes: Fields | None = None) -> None:
        """Keep the message for those who know its number."""
        stored = self._unlock(token)
        self._change(stored, changes)
        stored.state = State.DEFERRED
        self._journal.put(self._key, stored)

    def dead_letter(
        self, token: bytes, reason: str | None, description: str | None, changes: Fields | None = None
    ) -> None:
        """Move the message to the dead-letter sub-queue, with reason and description as application properties."""
        if self.dead_letters is None:
            raise NotAllowedError(f"`{self.name}`: a dead letter cannot become one again")
        stored = self._unlock(token)
        self._change(stored, changes)
        self._bury(stored, reason, description)

    def renew(self, token: bytes) -> int:
        """Extend the lock: until when."""
        stored = self._locked.get(token)
        if stored is None:
            raise self._lost()
        if self.settings.requires_session:
            return self.sessions.renew(stored.message.session_id or "", self.clock())
        stored.locked_until_ms = self.clock() + self.settings.lock_ms
        self._lock_ends.set(stored.sequence, stored.locked_until_ms)
        return stored.locked_until_ms

    def lose_locks(self, sequences: Iterable[int] | None = None) -> int:
        """Fault injection: locks end now, as if they had expired. Gives how many; None: all of them."""
        chosen = None if sequences is None else set(sequences)
        tokens = [token for token, one in self._locked.items() if chosen is None or one.sequence in chosen]
        for token in tokens:
            self._failed(self._unlock(token))
        self.on_change()
        return len(tokens)

    # -- sessions ----------------------------------------------------------------------------------

    def lock_session(self, session_id: str | None) -> Hold | None:
        """Hold a session, or the next free one; None if none is free. Raises BusError."""
        if not self.settings.requires_session:
            raise NotAllowedError(f"`{self.name}` has no sessions")
        return self.sessions.lock(session_id, self.clock())

    def release_session(self, hold: Hold) -> None:
        """The receiver goes away: what it holds is free again, and counts as no failed attempt."""
        if not hold.is_lost:
            self._end_session(hold.session, failed=False)

    def lose_session(self, session_id: str) -> None:
        """Fault injection: the session's lock ends now, as if it had expired."""
        session = self.sessions.known(session_id)
        if session is not None and session.locked_until_ms is not None:
            self._end_session(session, failed=True)

    def set_session_state(self, session_id: str, state: bytes | None) -> None:
        """Set or clear a session's state. Raises SessionLockLostError if nobody holds the session."""
        session = self._held(session_id)
        session.state, session.updated_ms = state, self.clock()
        self._journal.state(self._key, session_id, state)

    def session_state(self, session_id: str) -> bytes | None:
        """A session's state. Raises SessionLockLostError if nobody holds the session."""
        return self._held(session_id).state

    # -- time --------------------------------------------------------------------------------------

    def tick(self) -> None:
        """Do what is due: locks end, messages expire, scheduled ones become active."""
        now_ms = self.clock()
        for session_id in list(self.sessions.locks.pop_due(now_ms)):
            session = self.sessions.known(session_id)
            if session is not None:
                self._end_session(session, failed=True)
        for sequence in list(self._lock_ends.pop_due(now_ms)):
            token = self._messages[sequence].token
            if token is not None:
                self._failed(self._unlock(token))
        for sequence in list(self._expiries.pop_due(now_ms)):
            stored = self._messages.get(sequence)
            if stored is not None and stored.token is None:  # a locked message expires when it comes back
                self._expire(stored)
        super().tick()

    def next_due_ms(self) -> int | None:
        """When `tick` has something to do next."""
        ends = (
            super().next_due_ms(),
            self._lock_ends.next_ms(),
            self._expiries.next_ms(),
            self.sessions.locks.next_ms(),
        )
        return min((end for end in ends if end is not None), default=None)

    # -- within ------------------------------------------------------------------------------------

    def check(self, message: Message, size_bytes: int = 0) -> None:
        """Raise BusError if the queue does not take this message."""
        super().check(message, size_bytes)
        if self.settings.requires_session and message.session_id is None:
            raise NotAllowedError(f"`{self.name}` has sessions, and the message has no session id")

    def _arrive(self, message: Message, sequence: int, origin: Origin = DIRECT) -> None:
        if self._passes_on(message, sequence, origin):
            return
        now_ms = self.clock()
        stored = Stored(
            message,
            sequence,
            now_ms,
            expires_ms=self._expiry(message, now_ms),
            enqueue_sequence=origin.enqueue_sequence,
            dead_letter_source=origin.dead_letter_source,
            hops=origin.hops,
        )
        self._keep(stored)
        self._make_ready(stored)

    def _passes_on(self, message: Message, sequence: int, origin: Origin) -> bool:
        """Forward the message if the queue forwards. What the target refuses becomes a dead letter here."""
        if self.settings.forward_to is None or self._forward is None:
            return False
        try:
            self._forward(self.settings.forward_to, message, origin.hops + 1)
        except BusError as exc:
            if self.transfer_dead_letters is None:  # this is a dead-letter queue: better here than nowhere
                return False
            changes: Fields = {"DeadLetterReason": exc.condition, "DeadLetterErrorDescription": str(exc)}
            self.transfer_dead_letters.hand_over(message.with_application(changes), Origin(sequence))
        return True

    def hand_over(self, message: Message, origin: Origin) -> None:
        """Take a message from another entity, which has checked it; no duplicate detection."""
        self._arrive(message, self._number(), origin)
        self.on_change()

    def _expiry(self, message: Message, now_ms: int) -> int | None:
        if self.dead_letters is None:  # dead letters never expire
            return None
        lives = [one for one in (message.ttl_ms, self.settings.ttl_ms) if one is not None]
        return min(now_ms + min(lives), LATEST_MS) if lives else None

    def _keep(self, stored: Stored) -> None:
        super()._keep(stored)
        if stored.expires_ms is not None:
            self._expiries.set(stored.sequence, stored.expires_ms)
        session = self._session_of(stored)
        if session is not None:
            session.messages += 1

    def _drop(self, stored: Stored) -> None:
        super()._drop(stored)
        self._expiries.discard(stored.sequence)
        session = self._session_of(stored)
        if session is not None:
            session.messages -= 1
            self.sessions.tidy(session)

    def _session_of(self, stored: Stored) -> Session | None:
        if not self.settings.requires_session:
            return None
        return self.sessions.of(stored.message.session_id or "")

    def _make_ready(self, stored: Stored) -> None:
        session = self._session_of(stored)
        if session is None:
            heapq.heappush(self._ready, stored.sequence)
        else:
            push_ready(session, stored.sequence)

    def _is_free(self, sequence: int) -> bool:
        stored = self._messages.get(sequence)
        return stored is not None and stored.token is None and stored.state is State.ACTIVE

    def _lock(self, stored: Stored) -> None:
        token = stored.token = os.urandom(16)
        self._locked[token] = stored
        session = self._session_of(stored)
        if session is None:
            stored.locked_until_ms = self.clock() + self.settings.lock_ms
            self._lock_ends.set(stored.sequence, stored.locked_until_ms)
        else:  # held with its session, and as long
            stored.locked_until_ms = session.locked_until_ms or self.clock()
            session.tokens[token] = None

    def _unlock(self, token: bytes) -> Stored:
        stored = self._locked.pop(token, None)
        if stored is None:
            raise self._lost()
        stored.token = stored.locked_until_ms = None
        self._lock_ends.discard(stored.sequence)
        session = self._session_of(stored)
        if session is not None:
            session.tokens.pop(token, None)
        return stored

    def _lost(self) -> BusError:
        if self.settings.requires_session:
            return SessionLockLostError(
                f"`{self.name}`: the session's lock is lost, or the message is settled"
            )
        return MessageLockLostError(f"`{self.name}`: the lock has expired, or the message is settled")

    def _held(self, session_id: str) -> Session:
        session = self.sessions.known(session_id)
        if session is None or session.locked_until_ms is None:
            raise SessionLockLostError(f"session `{session_id}` is not locked")
        return session

    def _end_session(self, session: Session, *, failed: bool) -> None:
        for token in list(session.tokens):
            stored = self._unlock(token)
            if failed:
                self._failed(stored)
            else:
                self._give_back(stored)
        self.sessions.unlock(session)
        self.on_change()

    def _change(self, stored: Stored, changes: Fields | None) -> None:
        if changes:
            self._bytes -= stored.message.size_bytes
            stored.message = stored.message.with_application(changes)
            self._bytes += stored.message.size_bytes

    def _failed(self, stored: Stored) -> None:
        stored.delivery_count += 1
        limit = self.settings.max_deliveries
        if limit is not None and stored.delivery_count >= limit:
            what = f"Message could not be consumed after {stored.delivery_count} delivery attempts."
            self._bury(stored, "MaxDeliveryCountExceeded", what)
            return
        self._journal.put(self._key, stored)
        self._give_back(stored)

    def _give_back(self, stored: Stored) -> None:
        if stored.expires_ms is not None and stored.expires_ms <= self.clock():
            self._expire(stored)
        elif stored.state is State.ACTIVE:  # a deferred one stays deferred
            self._make_ready(stored)

    def _expire(self, stored: Stored) -> None:
        if self.settings.dead_letter_expired:
            self._bury(stored, "TTLExpiredException", "The message expired and was dead lettered.")
        else:
            self._drop(stored)

    def _bury(self, stored: Stored, reason: str | None, description: str | None) -> None:
        self._drop(stored)
        changes: Fields = {}
        if reason is not None:
            changes["DeadLetterReason"] = reason
        if description is not None:
            changes["DeadLetterErrorDescription"] = description
        message = stored.message.with_application(changes) if changes else stored.message
        if self.dead_letters is not None:
            origin = Origin(stored.enqueue_sequence or stored.sequence, self.name, stored.hops)
            self.dead_letters.hand_over(message, origin)

    def _restore(self) -> None:
        """Take up what an earlier process left. Its locks are gone with it."""
        for stored in self._journal.load(self._key):
            self._messages[stored.sequence] = stored
            self._bytes += stored.message.size_bytes
            if stored.expires_ms is not None:
                self._expiries.set(stored.sequence, stored.expires_ms)
            session = self._session_of(stored)
            if session is not None:
                session.messages += 1
            if stored.state is State.SCHEDULED and stored.due_ms is not None:
                self._scheduled.set(stored.sequence, stored.due_ms)
            elif stored.state is State.ACTIVE:
                self._make_ready(stored)
        if self.settings.requires_session:
            for session_id, state in self._journal.load_states(self._key).items():
                self.sessions.of(session_id).state = state
