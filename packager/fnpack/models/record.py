"""A registered model as data, and its JSON form in registries. What a registry hands out is checked here."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import PurePosixPath

from fnpack.models.errors import ContentDamaged

_SCHEMA_VERSION = 1
_DIGEST = re.compile(r"[0-9a-f]{64}")
_TEXTS = (
    "description",
    "framework",
    "framework_version",
    "created_by",
    "experiment_name",
    "run_id",
    "parent_id",
    "sample_input_dataset",
    "sample_output_dataset",
)


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A file of a model. `path` is relative to the model's folder and uses `/`; `digest` is its SHA-256."""

    path: str
    digest: str
    size_bytes: int
    executable: bool = False


@dataclass(frozen=True, slots=True)
class Resources:
    """What a service of this model should get at least."""

    cpu: float | None = None
    memory_in_gb: float | None = None
    gpu: int | None = None


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What is known about a model besides its name and files."""

    tags: Mapping[str, str] = field(default_factory=dict)
    properties: Mapping[str, str] = field(default_factory=dict)
    description: str | None = None
    framework: str | None = None
    framework_version: str | None = None
    created_by: str | None = None
    experiment_name: str | None = None
    run_id: str | None = None
    parent_id: str | None = None
    sample_input_dataset: str | None = None
    sample_output_dataset: str | None = None
    datasets: tuple[tuple[str, str], ...] = ()  # what it was used for, and which dataset
    resources: Resources | None = None


@dataclass(frozen=True, slots=True)
class ModelRecord:
    """A registered model. `users` names what uses it, by a key of the user's own.

    All files are below one entry, whose name is `entry`: the file's or folder's own name.
    """

    name: str
    version: int
    files: tuple[ModelFile, ...]
    created_time: datetime
    facts: ModelFacts = field(default_factory=ModelFacts)
    users: Mapping[str, str] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """`name:version`."""
        return f"{self.name}:{self.version}"

    @property
    def entry(self) -> str:
        """The name of the file or folder that was registered."""
        return PurePosixPath(self.files[0].path).parts[0]

    @property
    def is_folder(self) -> bool:
        """Whether a folder was registered."""
        return self.files[0].path != self.entry

    @property
    def size_bytes(self) -> int:
        """All files together."""
        return sum(file.size_bytes for file in self.files)


def to_json(record: ModelRecord) -> dict[str, object]:
    """The record as a JSON object."""
    facts = record.facts
    resources = facts.resources
    return {
        "schema_version": _SCHEMA_VERSION,
        "name": record.name,
        "version": record.version,
        "created_time": record.created_time.isoformat(),
        "files": [
            {"path": f.path, "digest": f.digest, "size": f.size_bytes, "executable": f.executable}
            for f in record.files
        ],
        "tags": dict(facts.tags),
        "properties": dict(facts.properties),
        **{key: getattr(facts, key) for key in _TEXTS},
        "datasets": [list(pair) for pair in facts.datasets],
        "resources": None
        if resources is None
        else {"cpu": resources.cpu, "memory_in_gb": resources.memory_in_gb, "gpu": resources.gpu},
        "users": dict(record.users),
    }


def from_text(text: str | bytes, source: str) -> ModelRecord:
    """The record in a JSON text; `source` names it in errors. Raises ContentDamaged for what is no record."""
    try:
        return from_json(json.loads(text))
    except ContentDamaged:
        raise
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ContentDamaged(
            f"{source} is not a model's record: {type(error).__name__}: {error}",
            hint="register the model again; the other models are not affected",
        ) from error


def from_json(data: Mapping[str, object]) -> ModelRecord:
    """The record in a JSON object. Raises ContentDamaged, or what Python raises for a value of the wrong kind."""
    if data["schema_version"] != _SCHEMA_VERSION:
        raise ContentDamaged(
            f"a model's record has the version {data['schema_version']}, which this fnpack does not know",
            hint="use the fnpack that wrote it, or a newer one",
        )
    files = tuple(_file(entry) for entry in _list(data["files"]))
    if not files or len({PurePosixPath(file.path).parts[0] for file in files}) != 1:
        raise ValueError("its files are not below one entry")
    resources = data.get("resources")
    facts = ModelFacts(
        tags=_texts(data["tags"]),
        properties=_texts(data["properties"]),
        **{key: _optional_text(data.get(key)) for key in _TEXTS},
        datasets=tuple(
            (str(pair[0]), str(pair[1])) for pair in map(_list, _list(data.get("datasets") or []))
        ),
        resources=None if resources is None else _resources(resources),
    )
    name, version = data["name"], data["version"]
    if not isinstance(name, str) or not isinstance(version, int):
        raise TypeError("name or version is missing")
    created = datetime.fromisoformat(str(data["created_time"]))
    created = created if created.tzinfo else created.replace(tzinfo=timezone.utc)
    return ModelRecord(name, version, files, created, facts, _texts(data.get("users") or {}))


def _file(entry: object) -> ModelFile:
    if not isinstance(entry, Mapping):
        raise TypeError("a file is not an object")
    path, digest, size = str(entry["path"]), str(entry["digest"]), entry["size"]
    parts = PurePosixPath(path).parts
    # A record from shared storage is a stranger's: it must not lead out of the folder that it is written to.
    if not parts or ".." in parts or path.startswith("/") or "\\" in path or "\0" in path:
        raise ValueError(f"the path {path!r} leads out of the model")
    if not _DIGEST.fullmatch(digest) or not isinstance(size, int) or size < 0:
        raise ValueError(f"the file {path!r} has no digest or size")
    return ModelFile(path, digest, size, bool(entry.get("executable")))


def _resources(value: object) -> Resources:
    if not isinstance(value, Mapping):
        raise TypeError("resources is not an object")
    return Resources(value.get("cpu"), value.get("memory_in_gb"), value.get("gpu"))


def _texts(value: object) -> dict[str, str]:
    if not isinstance(value, Mapping) or not all(isinstance(v, str) for v in value.values()):
        raise ValueError("tags, properties or users are not an object of texts")
    return {str(key): text for key, text in value.items()}


def _optional_text(value: object) -> str | None:
    if value is not None and not isinstance(value, str):
        raise ValueError(f"{value!r} is not a text")
    return value


def _list(value: object) -> Sequence[object]:
    if not isinstance(value, list):
        raise TypeError("a list is missing")
    return value
