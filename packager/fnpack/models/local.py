"""A model registry in a folder: SQLite for the records, files by their SHA-256 for the content.

Files are first copied into a folder of the registration's own. They move to their places, and the record is written,
while the database's write lock is held; a process that is killed before leaves a folder that the next registration
sweeps. So a model is there whole or not at all, and no two get one version.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import datetime, timezone
from pathlib import Path

from fnpack.models import checkouts, content
from fnpack.models.claims import abandoned, claimed, sweep
from fnpack.models.errors import ModelInUse, RegistryError, not_found
from fnpack.models.record import ModelFile, ModelRecord, from_text, to_json
from fnpack.models.registry import Collected, Draft, Edit, SourceFile, source_files
from fnpack.progress import Progress, ignore

_SCHEMA_VERSION = 1
_SCHEMA = """
create table names (name text primary key, last_version integer not null);
create table models (name text, version integer, record text not null, primary key (name, version));
create table contents (digest text, name text, version integer, primary key (digest, name, version));
create index contents_of_models on contents (name, version);
"""
_LOCK_WAIT_S = 120.0


class LocalRegistry:
    """The registry in the folder `root`, which is made when the first model is registered."""

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()
        self._database = self._root / "registry.db"
        self._content, self._staging = self._root / "content", self._root / "staging"
        self._checkouts = self._root / "checkouts"

    @property
    def location(self) -> str:
        """The folder."""
        return str(self._root)

    def register(self, draft: Draft, progress: Progress = ignore) -> ModelRecord:
        """Store the draft as the next version of its name: whole, or not at all."""
        sources = source_files(draft)
        with self._faults(f"register {draft.name}"):
            self._root.mkdir(parents=True, exist_ok=True)
            if abandoned(self._staging):
                self.collect()
            with claimed(self._staging) as staging:
                files = _stage(sources, staging, f"register model {draft.name}", progress)
                return self._commit(draft, files, staging)

    def get(self, name: str, version: int | None = None) -> ModelRecord:
        """A model, by default the latest version. Raises ModelNotFoundException."""
        with self._faults("read a model"), self._reading() as database:
            found = _find(database, name, version) if database is not None else None
            if found is not None:
                return found
            known = (
                [] if database is None else database.execute("select name, version from models").fetchall()
            )
        raise not_found(name if version is None else f"{name}:{version}", known)

    def records(self, name: str | None = None) -> Sequence[ModelRecord]:
        """All models, or those of one name: by name, the newest version first."""
        query = "select record from models where ?1 is null or name = ?1 order by name, version desc"
        with self._faults("list the models"), self._reading() as database:
            if database is None:
                return ()
            return tuple(from_text(row[0], self.location) for row in database.execute(query, (name,)))

    def change(self, name: str, version: int, edit: Edit) -> ModelRecord:
        """Replace a record by what `edit` makes of it, as if no other process did so at that moment."""
        with self._faults("change a model"), self._writing() as database:
            old = _find(database, name, version)
            if old is None:
                raise not_found(f"{name}:{version}")
            new = edit(old)
            database.execute(
                "update models set record = ? where name = ? and version = ?",
                (json.dumps(to_json(new)), name, version),
            )
            return new

    def delete(self, name: str, version: int, *, force: bool = False) -> None:
        """Delete a model. Raises ModelInUse while something uses it, unless forced."""
        # The claim marks the deletion as begun: what a killed one leaves is swept with the rest.
        with self._faults("delete a model"), claimed(self._staging):
            with self._writing() as database:
                old = _find(database, name, version)
                if old is None:
                    raise not_found(f"{name}:{version}")
                if old.users and not force:
                    raise ModelInUse(old.id, old.users.values())
                database.execute("delete from models where name = ? and version = ?", (name, version))
                database.execute("delete from contents where name = ? and version = ?", (name, version))
            checkouts.forget(self._checkouts, old)
            with self._writing() as database:
                self._drop(database, {file.digest for file in old.files})

    def fetch(self, record: ModelRecord, target: Path, progress: Progress = ignore) -> Path:
        """Copy the model's entry into the folder `target`, checked by its digests; returns the entry's path."""
        with (
            self._faults(f"copy {record.id}"),
            content.Transfer(f"copy model {record.id}", record.size_bytes, progress) as transfer,
        ):
            for file in record.files:
                content.put(self._place(file.digest), target / file.path, file, transfer.moved)
        return target / record.entry

    def checkout(self, record: ModelRecord, progress: Progress = ignore) -> Path:
        """The model's entry in this registry, to read and never to change: hard links, where there are such."""
        with self._faults(f"read {record.id}"):
            return checkouts.checkout(
                self._checkouts,
                record,
                lambda file, target: content.link(self._place(file.digest), target, file, lambda _: None),
            )

    def collect(self) -> Collected:
        """Remove what interrupted registrations and deletions left."""
        if not self._database.is_file():
            return Collected()
        with self._faults("clean up"), self._writing() as database:
            # No other process moves files to their places now: that takes the write lock too.
            kept = {row[0] for row in database.execute("select distinct digest from contents")}
            stray = [path for path in self._content.glob("??/*") if path.name not in kept]
            size = sum(path.stat().st_size for path in stray)
            for path in stray:
                path.unlink(missing_ok=True)
            models = [
                from_text(row[0], self.location) for row in database.execute("select record from models")
            ]
            checkouts.keep_only(self._checkouts, models)
            sweep(self._checkouts / "staging")
            return Collected(sweep(self._staging), len(stray), size)

    def _commit(self, draft: Draft, files: list[ModelFile], staging: Path) -> ModelRecord:
        placed: list[Path] = []
        with self._writing() as database:
            try:
                last = _next_version(database, draft.name)
                record = ModelRecord(draft.name, last, tuple(files), datetime.now(timezone.utc), draft.facts)
                for number, file in enumerate(files):
                    place = self._place(file.digest)
                    if not place.exists():
                        place.parent.mkdir(parents=True, exist_ok=True)
                        (staging / str(number)).rename(place)
                        placed.append(place)
                for folder in {place.parent for place in placed}:
                    content.sync_folder(folder)
                if placed:
                    content.sync_folder(self._content)
                database.execute(
                    "insert into models values (?, ?, ?)", (draft.name, last, json.dumps(to_json(record)))
                )
                database.executemany(
                    "insert or ignore into contents values (?, ?, ?)",
                    [(file.digest, draft.name, last) for file in files],
                )
            except BaseException:
                for place in placed:
                    place.unlink(missing_ok=True)
                raise
        return record

    def _drop(self, database: sqlite3.Connection, digests: set[str]) -> None:
        for digest in digests:
            if database.execute("select 1 from contents where digest = ?", (digest,)).fetchone() is None:
                self._place(digest).unlink(missing_ok=True)

    def _place(self, digest: str) -> Path:
        return self._content / digest[:2] / digest

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction that no other process's writing falls into."""
        with closing(self._connect()) as database:
            database.execute("begin immediate")
            try:
                if database.execute("pragma user_version").fetchone()[0] == 0:
                    for statement in _SCHEMA.split(";"):
                        database.execute(statement)
                    database.execute(f"pragma user_version = {_SCHEMA_VERSION}")
                self._check_version(database)
                yield database
            except BaseException:
                if database.in_transaction:
                    database.execute("rollback")
                raise
            database.execute("commit")

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection | None]:
        """The database, or None as long as nothing was ever registered."""
        if not self._database.is_file():
            yield None
            return
        with closing(self._connect()) as database:
            empty = database.execute("pragma user_version").fetchone()[0] == 0
            if not empty:
                self._check_version(database)
            yield None if empty else database

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self._database, timeout=_LOCK_WAIT_S, isolation_level=None)

    def _check_version(self, database: sqlite3.Connection) -> None:
        version = database.execute("pragma user_version").fetchone()[0]
        if version != _SCHEMA_VERSION:
            raise RegistryError(
                f"the registry {self._root} has version {version}, which this fnpack does not know",
                hint="use the fnpack that made it, or a newer one",
            )

    @contextmanager
    def _faults(self, doing: str) -> Iterator[None]:
        """SQLite's and the file system's errors as ours."""
        try:
            yield
        except sqlite3.OperationalError as error:
            if "locked" not in str(error):
                raise self._error(doing, error) from error
            raise RegistryError(
                f"cannot {doing}: another process has held the registry {self._root} for {_LOCK_WAIT_S:.0f} s",
                hint="wait for it, or end it",
            ) from error
        except (sqlite3.Error, OSError) as error:
            raise self._error(doing, error) from error

    def _error(self, doing: str, error: sqlite3.Error | OSError) -> RegistryError:
        reason = error.strerror or str(error) if isinstance(error, OSError) else str(error)
        place = getattr(error, "filename", None) or self._root
        return RegistryError(
            f"cannot {doing}: {reason} ({place})",
            hint="check free space and permissions of the registry's folder",
        )


def _find(database: sqlite3.Connection, name: str, version: int | None) -> ModelRecord | None:
    query = "select record from models where name = ?1 and (?2 is null or version = ?2) order by version desc"
    row = database.execute(query, (name, version)).fetchone()
    return None if row is None else from_text(row[0], f"model {name}")


def _next_version(database: sqlite3.Connection, name: str) -> int:
    """The number after the last one that was ever given, deleted models counted."""
    database.execute(
        "insert into names values (?, 1) on conflict (name) do update set last_version = last_version + 1",
        (name,),
    )
    last: int = database.execute("select last_version from names where name = ?", (name,)).fetchone()[0]
    return last


def _stage(sources: list[SourceFile], staging: Path, step: str, progress: Progress) -> list[ModelFile]:
    """Copy the files into `staging` under their numbers."""
    total = sum(source.source.stat().st_size for source in sources)
    with content.Transfer(step, total, progress) as transfer:
        return [
            content.take(source.source, staging / str(number), source.path, transfer.moved)
            for number, source in enumerate(sources)
        ]
