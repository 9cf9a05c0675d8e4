"""A model registry in storage that many machines share: a blob container, a bucket, a folder.

It needs one guarantee of the storage: creating a file only where there is none (`Storage.create`). A model's record
is a row of revisions, `models/NAME/VERSION/000000.json` and on, each whole and each created so. Who creates revision 0
owns the version; who creates revision n+1 has changed revision n and nothing else. Deleting is a last revision, so
that a version is never given twice. Content lies below `content/UPLOAD/`, written before revision 0 and owned by one
model alone; an upload that a day did not suffice for is given up, and one of a week ago that no model has is swept.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

from fnpack.models import checkouts, content
from fnpack.models.errors import ContentDamaged, ModelInUse, RegistryError, not_found
from fnpack.models.record import ModelFile, ModelRecord, from_json, to_json
from fnpack.models.registry import Collected, Draft, Edit, SourceFile, source_files
from fnpack.models.storage import Storage
from fnpack.progress import Progress, ignore

_REVISION = re.compile(r"models/([^/]+)/(\d+)/(\d{6})\.json")
_UPLOAD_NAME = re.compile(r"\d{8}T\d{6}-[0-9a-f]{32}")
_UPLOAD = "%Y%m%dT%H%M%S"
_UPLOAD_LASTS = timedelta(days=1)
_STRAY_AFTER = timedelta(days=7)
_MOST_TRIES = 1000
_MOST_REVISIONS = 999_999


@dataclass(frozen=True, slots=True)
class _Revision:
    """A model's record as one revision has it. `writer` tells a repeated request's own work from another's."""

    number: int
    writer: str
    upload: str
    record: ModelRecord
    deleted: bool = False

    @property
    def path(self) -> str:
        return f"models/{_folder(self.record.name)}/{self.record.version}/{self.number:06d}.json"

    def text(self) -> bytes:
        facts = {"writer": self.writer, "upload": self.upload, "deleted": self.deleted}
        return json.dumps({**facts, "record": to_json(self.record)}).encode()


_Change = Callable[[_Revision], _Revision]


class SharedRegistry:
    """The registry at an fsspec URL. `cache` is a folder of this machine for what builds read."""

    def __init__(self, url: str, cache: Path, options: Mapping[str, object] | None = None) -> None:
        self._storage, self._cache, self._prepared = Storage(url, options), cache.absolute(), False

    @property
    def location(self) -> str:
        """The URL."""
        return self._storage.url

    def register(self, draft: Draft, progress: Progress = ignore) -> ModelRecord:
        """Store the draft as the next version of its name: whole, or not at all."""
        sources = source_files(draft)
        if not self._prepared:
            self._storage.prepare()
            self._prepared = True
        upload = f"{datetime.now(timezone.utc).strftime(_UPLOAD)}-{uuid.uuid4().hex}"
        total = sum(source.source.stat().st_size for source in sources)
        try:  # every byte is read for its digest, then sent
            with content.Transfer(f"register model {draft.name}", 2 * total, progress) as transfer:
                files = self._send(sources, f"content/{upload}", transfer)
        except BaseException:
            self._storage.remove(f"content/{upload}")
            raise
        record = ModelRecord(draft.name, 1, files, datetime.now(timezone.utc), draft.facts)
        # From here on the content stays whatever happens: a claim whose answer is lost may still have been made.
        return self._claim_version(record, upload)

    def get(self, name: str, version: int | None = None) -> ModelRecord:
        """A model, by default the latest version. Raises ModelNotFoundException."""
        newest = self._newest(name)
        for number in sorted(newest, reverse=True) if version is None else [version]:
            revision = self._read(newest[number]) if number in newest else None
            if revision is not None and not revision.deleted:
                return revision.record
        model_id = name if version is None else f"{name}:{version}"
        raise not_found(model_id, [(record.name, record.version) for record in self.records()])

    def records(self, name: str | None = None) -> Sequence[ModelRecord]:
        """All models, or those of one name: by name, the newest version first."""
        alive = (revision.record for revision in self._revisions(name) if not revision.deleted)
        return sorted(alive, key=lambda record: (record.name, -record.version))

    def change(self, name: str, version: int, edit: Edit) -> ModelRecord:
        """Replace a record by what `edit` makes of it, as if no other process did so at that moment."""
        return self._revise(name, version, lambda old: replace(old, record=edit(old.record))).record

    def delete(self, name: str, version: int, *, force: bool = False) -> None:
        """Delete a model. Raises ModelInUse while something uses it, unless forced."""

        def gone(old: _Revision) -> _Revision:
            if old.record.users and not force:
                raise ModelInUse(old.record.id, old.record.users.values())
            return replace(old, deleted=True)

        last = self._revise(name, version, gone)
        self._storage.remove(f"content/{last.upload}")
        checkouts.forget(self._cache, last.record)

    def fetch(self, record: ModelRecord, target: Path, progress: Progress = ignore) -> Path:
        """Copy the model's entry into the folder `target`, checked by its digests; returns the entry's path."""
        upload = self._current(record.name, record.version).upload
        with content.Transfer(f"download model {record.id}", record.size_bytes, progress) as transfer:
            for file in record.files:
                self._receive(upload, file, target / file.path, transfer)
        return target / record.entry

    def checkout(self, record: ModelRecord, progress: Progress = ignore) -> Path:
        """The model's entry in this machine's cache, to read and never to change; downloaded once."""
        ready = checkouts.ready(self._cache, record)
        if ready is not None:
            return ready
        upload = self._current(record.name, record.version).upload
        with content.Transfer(f"download model {record.id}", record.size_bytes, progress) as transfer:
            return checkouts.checkout(
                self._cache, record, lambda file, target: self._place(upload, file, target, transfer)
            )

    def collect(self) -> Collected:
        """Remove the content of deleted models, and of uploads of a week ago that never became one."""
        uploads = {path.split("/")[1] for path in self._storage.list("content")}
        revisions = self._revisions(None)
        alive = {revision.upload for revision in revisions if not revision.deleted}
        gone = {revision.upload for revision in revisions if revision.deleted}
        stray = {upload for upload in uploads - alive if upload in gone or _is_old(upload)}
        for upload in stray:
            self._storage.remove(f"content/{upload}")
        return Collected(registrations=len(stray))

    def _send(
        self, sources: Sequence[SourceFile], folder: str, transfer: content.Transfer
    ) -> tuple[ModelFile, ...]:
        files: dict[str, ModelFile] = {}
        sent: set[str] = set()
        for source in sources:
            before = source.source.stat()
            digest, size = content.digest_of(source.source, transfer.moved)
            if digest in sent:
                transfer.moved(size)
            else:
                self._storage.upload(source.source, f"{folder}/{digest}", transfer.moved)
                sent.add(digest)
            after = source.source.stat()
            if (before.st_mtime_ns, before.st_size) != (after.st_mtime_ns, after.st_size):
                raise RegistryError(
                    f"{source.source} was changed while it was registered", hint="register it again"
                )
            files[source.path] = ModelFile(source.path, digest, size, before.st_mode & 0o100 != 0)
        return tuple(files.values())

    def _receive(self, upload: str, file: ModelFile, target: Path, transfer: content.Transfer) -> None:
        path = f"content/{upload}/{file.digest}"
        content.receive(lambda draft: self._storage.download(path, draft, transfer.moved), target, file)

    def _place(self, upload: str, file: ModelFile, target: Path, transfer: content.Transfer) -> None:
        self._receive(upload, file, target, transfer)
        target.chmod(0o555 if file.executable else 0o444)

    def _claim_version(self, record: ModelRecord, upload: str) -> ModelRecord:
        version = max(self._newest(record.name), default=0) + 1
        for number in range(version, version + _MOST_TRIES):
            if not _in_time(upload):
                raise RegistryError(
                    f"model {record.name} took more than {_UPLOAD_LASTS.days} day to upload, so it was given up",
                    hint="register it from a machine with a faster connection",
                )
            revision = _Revision(0, uuid.uuid4().hex, upload, replace(record, version=number))
            if self._create(revision):
                return revision.record
        raise self._too_busy(record.name)

    def _revise(self, name: str, version: int, edit: _Change) -> _Revision:
        for _ in range(_MOST_TRIES):
            old = self._current(name, version)
            if old.number >= _MOST_REVISIONS:
                raise RegistryError(
                    f"model {name}:{version} was changed too often", hint="register a new version"
                )
            new = replace(edit(old), number=old.number + 1, writer=uuid.uuid4().hex)
            if self._create(new):
                return new
        raise self._too_busy(f"{name}:{version}")

    def _create(self, revision: _Revision) -> bool:
        if self._storage.create(revision.path, revision.text()):
            return True
        # A request whose answer was lost is repeated, and then meets its own work.
        there = self._read(revision.path)
        return there is not None and there.writer == revision.writer

    def _current(self, name: str, version: int) -> _Revision:
        paths = self._newest(name)
        revision = self._read(paths[version]) if version in paths else None
        if revision is None or revision.deleted:
            raise not_found(f"{name}:{version}")
        return revision

    def _newest(self, name: str) -> dict[int, str]:
        """The path of the newest revision of each version of a model."""
        return {version: path for (_, version), path in self._newest_below(f"models/{_folder(name)}").items()}

    def _newest_below(self, folder: str) -> dict[tuple[str, int], str]:
        found: dict[tuple[str, int], str] = {}
        for path in sorted(self._storage.list(folder)):
            match = _REVISION.fullmatch(path)
            if match:
                found[match[1], int(match[2])] = path
        return found

    def _revisions(self, name: str | None) -> list[_Revision]:
        newest = self._newest_below("models" if name is None else f"models/{_folder(name)}")
        texts = self._storage.read_all(list(newest.values()))
        return [_parse(text, f"{self.location}/{path}") for path, text in texts.items()]

    def _read(self, path: str) -> _Revision | None:
        try:
            return _parse(self._storage.read(path), f"{self.location}/{path}")
        except FileNotFoundError:
            return None

    def _too_busy(self, what: str) -> RegistryError:
        return RegistryError(
            f"{self.location}: {what} is being changed by others all the time", hint="try again later"
        )


def _parse(text: bytes, source: str) -> _Revision:
    try:
        data = json.loads(text)
        number = int(source.rpartition("/")[2].partition(".")[0])
        record, upload = from_json(data["record"]), str(data["upload"])
        if not _UPLOAD_NAME.fullmatch(upload):
            raise ValueError("its upload has no name")
        revision = _Revision(number, str(data["writer"]), upload, record, data["deleted"] is True)
        if not source.endswith(f"/{revision.path}"):
            raise ValueError(f"it is about {record.id}")
        return revision
    except ContentDamaged:
        raise
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ContentDamaged(
            f"{source} is not a model's record: {type(error).__name__}: {error}",
            hint="remove it if nobody knows what it is; the other models are not affected",
        ) from error


def _folder(name: str) -> str:
    """A model's name as a folder's: Azure has no folder that ends in a dot, and `%` is in no model's name."""
    return name[:-1] + "%2E" if name.endswith(".") else name


def _started(upload: str) -> datetime | None:
    try:
        return datetime.strptime(upload.partition("-")[0], _UPLOAD).replace(tzinfo=timezone.utc)
    except ValueError:
        return None


def _in_time(upload: str) -> bool:
    started = _started(upload)
    return started is not None and datetime.now(timezone.utc) - started < _UPLOAD_LASTS


def _is_old(upload: str) -> bool:
    started = _started(upload)
    return started is not None and datetime.now(timezone.utc) - started > _STRAY_AFTER
