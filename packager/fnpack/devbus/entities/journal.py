"""Where an entity notes what must outlive the process. The one here notes nothing; `persistence` has one on disk."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from fnpack.devbus.entities.stored import Stored


class Journal(Protocol):
    """Notes changes. Nothing counts until `commit`, which the server calls before it answers a client."""

    def put(self, entity: str, stored: Stored) -> None:
        """The message is new or has changed."""

    def remove(self, entity: str, sequence: int) -> None:
        """The message is gone."""

    def state(self, entity: str, session: str, state: bytes | None) -> None:
        """A session's state has changed."""

    def seen(self, entity: str, message_id: str, at_ms: int) -> None:
        """A message id counts as seen from then on."""

    def forget(self, entity: str, until_ms: int) -> None:
        """Message ids seen up to then no longer count."""

    def next_sequence(self, entity: str, sequence: int) -> None:
        """The number that the entity's next message gets."""

    def commit(self) -> None:
        """Make all of it last."""

    def close(self) -> None:
        """Nothing more will be noted."""

    def load(self, entity: str) -> Iterable[Stored]:
        """The messages of an entity, in order."""

    def load_states(self, entity: str) -> dict[str, bytes]:
        """The states of an entity's sessions."""

    def load_seen(self, entity: str) -> list[tuple[str, int]]:
        """The message ids that count as seen, oldest first."""

    def load_next_sequence(self, entity: str) -> int:
        """The number that the entity's next message gets; 1 for a new one."""


class NoJournal:
    """Forgets everything when the process ends."""

    def put(self, entity: str, stored: Stored) -> None:
        """Nothing to do."""

    def remove(self, entity: str, sequence: int) -> None:
        """Nothing to do."""

    def state(self, entity: str, session: str, state: bytes | None) -> None:
        """Nothing to do."""

    def seen(self, entity: str, message_id: str, at_ms: int) -> None:
        """Nothing to do."""

    def forget(self, entity: str, until_ms: int) -> None:
        """Nothing to do."""

    def next_sequence(self, entity: str, sequence: int) -> None:
        """Nothing to do."""

    def commit(self) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Nothing to do."""

    def load(self, entity: str) -> Iterable[Stored]:
        """Nothing was kept."""
        return ()

    def load_states(self, entity: str) -> dict[str, bytes]:
        """Nothing was kept."""
        return {}

    def load_seen(self, entity: str) -> list[tuple[str, int]]:
        """Nothing was kept."""
        return []

    def load_next_sequence(self, entity: str) -> int:
        """Nothing was kept."""
        return 1
