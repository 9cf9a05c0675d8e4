"""Keeps messages in an SQLite file, so that a restart of the development Service Bus loses none. Locks are not kept."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from pathlib import Path

from fnpack.devbus.amqp.message import parse_message
from fnpack.devbus.amqp.types import DecodeError
from fnpack.devbus.entities.errors import BusError
from fnpack.devbus.entities.stored import State, Stored

_SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE message (
    entity TEXT NOT NULL, sequence INTEGER NOT NULL, state INTEGER NOT NULL, enqueued_ms INTEGER NOT NULL,
    expires_ms INTEGER, due_ms INTEGER, delivery_count INTEGER NOT NULL, enqueue_sequence INTEGER,
    dead_letter_source TEXT, hops INTEGER NOT NULL, content BLOB NOT NULL, PRIMARY KEY (entity, sequence)
) WITHOUT ROWID;
CREATE TABLE session (entity TEXT NOT NULL, session TEXT NOT NULL, state BLOB NOT NULL, PRIMARY KEY (entity, session));
CREATE TABLE seen (
    entity TEXT NOT NULL, message_id TEXT NOT NULL, at_ms INTEGER NOT NULL, PRIMARY KEY (entity, message_id)
);
CREATE TABLE entity (entity TEXT PRIMARY KEY, next_sequence INTEGER NOT NULL);
"""


class StoreError(BusError):
    """The store cannot be opened, or is of another version."""

    code = "FN562"


class SqliteJournal:
    """The journal on disk: everything noted between two commits is written in one transaction."""

    def __init__(self, path: Path) -> None:
        self._numbers: dict[str, int] = {}
        hint = "name another file, or remove this one"
        try:
            self._database = sqlite3.connect(path, timeout=1, isolation_level=None)
        except sqlite3.Error as exc:  # a folder, or one that does not exist
            raise StoreError(f"`{path}` cannot be used to keep messages: {exc}", hint=hint) from exc
        try:
            version = self._prepare()
        except sqlite3.Error as exc:
            self._database.close()
            raise StoreError(f"`{path}` cannot be used to keep messages: {exc}", hint=hint) from exc
        if version not in (0, _SCHEMA_VERSION):
            self._database.close()
            raise StoreError(f"`{path}` is of another version of fnpack", hint=hint)

    def _prepare(self) -> int:
        """Take the file for this process alone, and fill it if it is new: the version found, 0 for a new file."""
        self._database.execute("PRAGMA locking_mode=EXCLUSIVE")  # two servers on one file would lose messages
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=NORMAL")
        version: int = self._database.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            self._database.executescript(f"{_SCHEMA}PRAGMA user_version={_SCHEMA_VERSION};")
        return version

    def put(self, entity: str, stored: Stored) -> None:
        """The message is new or has changed."""
        self._execute(
            "INSERT OR REPLACE INTO message VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            entity,
            stored.sequence,
            int(stored.state),
            stored.enqueued_ms,
            stored.expires_ms,
            stored.due_ms,
            stored.delivery_count,
            stored.enqueue_sequence,
            stored.dead_letter_source,
            stored.hops,
            stored.message.encode(),
        )

    def remove(self, entity: str, sequence: int) -> None:
        """The message is gone."""
        self._execute("DELETE FROM message WHERE entity = ? AND sequence = ?", entity, sequence)

    def state(self, entity: str, session: str, state: bytes | None) -> None:
        """A session's state has changed."""
        if state is None:
            self._execute("DELETE FROM session WHERE entity = ? AND session = ?", entity, session)
        else:
            self._execute("INSERT OR REPLACE INTO session VALUES (?, ?, ?)", entity, session, state)

    def seen(self, entity: str, message_id: str, at_ms: int) -> None:
        """A message id counts as seen from then on."""
        self._execute("INSERT OR REPLACE INTO seen VALUES (?, ?, ?)", entity, message_id, at_ms)

    def forget(self, entity: str, until_ms: int) -> None:
        """Message ids seen up to then no longer count."""
        self._execute("DELETE FROM seen WHERE entity = ? AND at_ms <= ?", entity, until_ms)

    def next_sequence(self, entity: str, sequence: int) -> None:
        """The number that the entity's next message gets."""
        self._numbers[entity] = sequence

    def commit(self) -> None:
        """Write everything noted since the last commit."""
        for entity, number in self._numbers.items():
            self._execute("INSERT OR REPLACE INTO entity VALUES (?, ?)", entity, number)
        self._numbers.clear()
        if self._database.in_transaction:
            self._database.execute("COMMIT")

    def close(self) -> None:
        """Write, and let go of the file."""
        self.commit()
        self._database.close()

    def load(self, entity: str) -> Iterable[Stored]:
        """The messages of an entity, in order. One that cannot be read is left out, and stays in the file."""
        rows = self._database.execute(
            "SELECT content, sequence, enqueued_ms, state, expires_ms, due_ms, delivery_count, enqueue_sequence,"
            " dead_letter_source, hops FROM message WHERE entity = ? ORDER BY sequence",
            (entity,),
        ).fetchall()
        for content, sequence, enqueued_ms, state, *rest in rows:
            try:
                message = parse_message(content)
            except DecodeError:
                continue
            yield Stored(message, sequence, enqueued_ms, State(state), *rest)

    def load_states(self, entity: str) -> dict[str, bytes]:
        """The states of an entity's sessions."""
        return dict(self._database.execute("SELECT session, state FROM session WHERE entity = ?", (entity,)))

    def load_seen(self, entity: str) -> list[tuple[str, int]]:
        """The message ids that count as seen, oldest first."""
        query = "SELECT message_id, at_ms FROM seen WHERE entity = ? ORDER BY at_ms"
        return self._database.execute(query, (entity,)).fetchall()

    def load_next_sequence(self, entity: str) -> int:
        """The number that the entity's next message gets."""
        row = self._database.execute(
            "SELECT next_sequence FROM entity WHERE entity = ?", (entity,)
        ).fetchone()
        return row[0] if row else 1

    def _execute(self, statement: str, *values: str | int | bytes | None) -> None:
        if not self._database.in_transaction:
            self._database.execute("BEGIN")
        self._database.execute(statement, values)
