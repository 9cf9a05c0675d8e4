"""What every model registry offers, whatever holds it."""

from __future__ import annotations

import getpass
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Protocol

from fnpack.exceptions import ModelPathNotFoundException
from fnpack.models.errors import ModelArgumentError
from fnpack.models.record import ModelFacts, ModelRecord
from fnpack.progress import Progress, ignore
from fnpack.workspace_folder import FOLDER

NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9\-._]{0,254}")
NAME_RULE = "a model's name has 1 to 255 letters, digits, `-`, `_` and `.`, a letter or digit first"
Edit = Callable[[ModelRecord], ModelRecord]


@dataclass(frozen=True, slots=True)
class Draft:
    """A model to register: a file or folder, or some files of a folder (`child_paths`, relative to it)."""

    name: str
    path: Path
    facts: ModelFacts = field(default_factory=ModelFacts)
    child_paths: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file of a draft: where it is, and its path in the model."""

    source: Path
    path: str


@dataclass(frozen=True, slots=True)
class Collected:
    """What a clean-up removed."""

    registrations: int = 0  # begun and never finished
    files: int = 0
    size_bytes: int = 0


class ModelRegistry(Protocol):
    """Models by name and version. A version number is given once and never again, not even after a deletion."""

    @property
    def location(self) -> str:
        """Where the registry is, for people."""

    def register(self, draft: Draft, progress: Progress = ignore) -> ModelRecord:
        """Store the draft as the next version of its name: whole, or not at all."""

    def get(self, name: str, version: int | None = None) -> ModelRecord:
        """A model, by default the latest version. Raises ModelNotFoundException."""

    def records(self, name: str | None = None) -> Sequence[ModelRecord]:
        """All models, or those of one name: by name, the newest version first."""

    def change(self, name: str, version: int, edit: Edit) -> ModelRecord:
        """Replace a record by what `edit` makes of it, as if no other process did so at that moment.

        `edit` may be called again with a newer record, and may raise to leave all as it was.
        """

    def delete(self, name: str, version: int, *, force: bool = False) -> None:
        """Delete a model. Raises ModelInUse while something uses it, unless forced."""

    def fetch(self, record: ModelRecord, target: Path, progress: Progress = ignore) -> Path:
        """Copy the model's entry into the folder `target`, checked by its digests; returns the entry's path."""

    def checkout(self, record: ModelRecord, progress: Progress = ignore) -> Path:
        """The model's entry on this machine, to read and never to change."""

    def collect(self) -> Collected:
        """Remove what interrupted registrations and deletions left."""


def source_files(draft: Draft) -> list[SourceFile]:
    """The draft's files in a fixed order, checked. Raises ModelArgumentError or ModelPathNotFoundException."""
    from fnpack.app.tree import model_files
    from fnpack.config.suggest import names_near

    check_name(draft.name)
    check_facts(draft.facts)
    path = draft.path.absolute()
    if not path.exists():
        near = names_near(path)
        raise ModelPathNotFoundException(
            f"there is no model at {draft.path}" + (f"; {near}" if near else ""),
            hint="give the path of a file or folder that exists",
        )
    entry = path.name if path.name not in ("", "..") else path.resolve().name
    if path.is_file():
        if draft.child_paths:
            raise ModelArgumentError(f"{draft.path} is a file, so it has no child paths")
        return [SourceFile(path, entry)]
    files = [
        SourceFile(found.source, (PurePosixPath(entry) / found.relative).as_posix())
        for found in model_files(path)
        if FOLDER not in found.relative.parts  # a workspace is no part of a model
    ]
    if draft.child_paths is not None:
        files = _children(files, entry, draft)
    if not files:
        raise ModelPathNotFoundException(
            f"the model's folder {draft.path} holds no file", hint="a model has at least one file"
        )
    return files


def check_name(name: str) -> None:
    """Raise ModelArgumentError unless `name` can be a model's name."""
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise ModelArgumentError(f"`{name}` cannot be the name of a model", hint=NAME_RULE)


def check_facts(facts: ModelFacts) -> None:
    """Raise ModelArgumentError for tags and properties that are not texts, and a version without its framework."""
    for kind, values in (("tags", facts.tags), ("properties", facts.properties)):
        check_texts(kind, values)
    if facts.framework_version is not None and facts.framework is None:
        raise ModelArgumentError(
            "a framework version is given without a framework",
            hint="give the framework too, for instance `ScikitLearn`",
        )


def check_texts(kind: str, values: Mapping[str, str]) -> None:
    """Raise ModelArgumentError unless `values` is a dict of texts."""
    if not isinstance(values, Mapping):
        raise ModelArgumentError(
            f"{kind} must be a dict, not a {type(values).__name__}", hint='write {"key": "value"}'
        )
    for key, value in values.items():
        if not isinstance(key, str) or not key or not isinstance(value, str):
            raise ModelArgumentError(
                f"{kind}: {key!r}: {value!r} is not a text for a text", hint='write {"key": "value"}'
            )


def with_added(kind: str, old: Mapping[str, str], new: Mapping[str, str]) -> dict[str, str]:
    """`old` with `new`; properties are immutable, so one that is there already raises ModelArgumentError."""
    check_texts(kind, new)
    twice = sorted(set(old) & set(new))
    if kind == "properties" and twice:
        raise ModelArgumentError(
            f"properties cannot be changed, and these are there already: {', '.join(twice)}",
            hint="choose another key, or register a new version",
        )
    return {**old, **new}


def users_with(record: ModelRecord, key: str, what: str | None) -> ModelRecord:
    """The record with a user, or without it where `what` is None."""
    users = {user: text for user, text in record.users.items() if user != key}
    return replace(record, users=users if what is None else {**users, key: what})


def current_user() -> str | None:
    """The name of the person at work, where the machine knows it."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return None


def _children(files: list[SourceFile], entry: str, draft: Draft) -> list[SourceFile]:
    wanted = []
    for text in draft.child_paths or ():
        path = PurePosixPath(text.replace("\\", "/"))
        inside = path if path.parts[:1] == (entry,) else PurePosixPath(entry) / path
        found = [
            file
            for file in files
            if file.path == str(inside) or PurePosixPath(file.path).is_relative_to(inside)
        ]
        if not found or ".." in inside.parts:
            raise ModelPathNotFoundException(
                f"the model's folder {draft.path} holds no `{text}`",
                hint="child paths are relative to the model's folder",
            )
        wanted += found
    return sorted(dict.fromkeys(wanted), key=lambda file: file.path)
