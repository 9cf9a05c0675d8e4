"""The sessions of a queue: what waits in each, its state, and who holds it."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field

from fnpack.devbus.entities.deadlines import Deadlines
from fnpack.devbus.entities.errors import SessionCannotBeLockedError, SessionLockLostError


@dataclass(slots=True)
class Session:
    """A session. `ready` is a heap of sequence numbers; `locked_until_ms` None: nobody holds it.

    `hold` counts up with every new holder, so that an old holder can tell that it has lost the session.
    """

    session_id: str
    ready: list[int] = field(default_factory=list)
    messages: int = 0
    state: bytes | None = None
    updated_ms: int = 0
    locked_until_ms: int | None = None
    hold: int = 0
    tokens: dict[bytes, None] = field(default_factory=dict)  # in the order in which they were taken


@dataclass(frozen=True, slots=True)
class Hold:
    """What a receiver has that holds a session."""

    session: Session
    number: int

    @property
    def session_id(self) -> str:
        """The session's id."""
        return self.session.session_id

    @property
    def is_lost(self) -> bool:
        """Whether the lock has expired or was released."""
        return self.session.locked_until_ms is None or self.session.hold != self.number


class Sessions:
    """All sessions of one queue. One without messages, state and holder is forgotten."""

    def __init__(self, lock_ms: int) -> None:
        self._lock_ms = lock_ms
        self._all: dict[str, Session] = {}
        self.locks: Deadlines[str] = Deadlines()

    def of(self, session_id: str) -> Session:
        """The session of that id, new if need be."""
        session = self._all.get(session_id)
        if session is None:
            session = self._all[session_id] = Session(session_id)
        return session

    def known(self, session_id: str) -> Session | None:
        """The session of that id, if there is one."""
        return self._all.get(session_id)

    def lock(self, session_id: str | None, now_ms: int) -> Hold | None:
        """Hold a session, or for None the next free one with messages; None if there is none.

        Raises SessionCannotBeLockedError if somebody holds it.
        """
        session = self._next_free() if session_id is None else self.of(session_id)
        if session is None:
            return None
        if session.locked_until_ms is not None:
            raise SessionCannotBeLockedError(f"session `{session.session_id}` is held by another receiver")
        session.hold += 1
        self._extend(session, now_ms)
        return Hold(session, session.hold)

    def renew(self, session_id: str, now_ms: int) -> int:
        """Extend the lock: until when. Raises SessionLockLostError."""
        session = self._all.get(session_id)
        if session is None or session.locked_until_ms is None:
            raise SessionLockLostError(f"session `{session_id}` is not locked")
        return self._extend(session, now_ms)

    def unlock(self, session: Session) -> None:
        """Nobody holds the session any more."""
        session.locked_until_ms = None
        self.locks.discard(session.session_id)
        self.tidy(session)

    def tidy(self, session: Session) -> None:
        """Forget the session if nothing is left of it."""
        if session.messages == 0 and session.state is None and session.locked_until_ms is None:
            self._all.pop(session.session_id, None)

    def listing(self, updated_after_ms: int | None) -> list[str]:
        """Ids of the sessions with messages or, given a time, of those whose state was set after it."""
        if updated_after_ms is None:
            return [one.session_id for one in self._all.values() if one.messages or one.state is not None]
        return [
            one.session_id
            for one in self._all.values()
            if one.state is not None and one.updated_ms > updated_after_ms
        ]

    def _extend(self, session: Session, now_ms: int) -> int:
        session.locked_until_ms = now_ms + self._lock_ms
        self.locks.set(session.session_id, session.locked_until_ms)
        return session.locked_until_ms

    def _next_free(self) -> Session | None:
        free = (one for one in self._all.values() if one.ready and one.locked_until_ms is None)
        return min(free, key=lambda session: session.ready[0], default=None)


def push_ready(session: Session, sequence: int) -> None:
    """The message can be taken by the session's holder."""
    heapq.heappush(session.ready, sequence)
