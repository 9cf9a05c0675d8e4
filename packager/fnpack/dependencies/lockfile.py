"""The lock file `pylock.toml` (PEP 751): what it holds, and the inputs that it was made from. It resolves nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from fnpack.dependencies import toml
from fnpack.dependencies.cache import writing
from fnpack.dependencies.errors import CacheUnusable, LockFileError

if TYPE_CHECKING:
    from packaging.pylock import Pylock

    from fnpack.dependencies.target import Target

NAME = "pylock.toml"
_OTHER_NAME = "pylock.fnpack.toml"  # where another tool's pylock.toml is in the way
_SCHEMA = 1
_HEADER = (
    "# Locked by fnpack. Keep this file with the project; `fnpack build --upgrade` takes new versions.\n"
)
_MARK = "\n[[packages]]\n"


class Inputs(NamedTuple):
    """What a lock depends on, in a form that is the same on every machine.

    `platforms` maps `linux/amd64` to the level of its C library (`glibc 2.28`); `index_digest` is a hash of the
    package-index settings; `provided` are packages that conda installs (`numpy==1.26.4`); `local` maps paths to the
    hash of what decides about their dependencies.
    """

    requirements: tuple[str, ...]
    python: str
    platforms: Mapping[str, str]
    index_digest: str
    constraints: tuple[str, ...] = ()
    provided: tuple[str, ...] = ()
    local: Mapping[str, str] = {}

    def differences(self, wanted: Inputs) -> list[str]:
        """What is wanted and not in the lock, or the other way round, one line each; the index is another matter."""
        found = [
            *differences("requirement", self.requirements, wanted.requirements),
            *differences("constraint", self.constraints, wanted.constraints),
            *differences("conda package", self.provided, wanted.provided),
        ]
        if self.python != wanted.python:
            found.append(f"it is for Python {self.python}, not {wanted.python}")
        found += platform_differences(self.platforms, wanted.platforms)
        found += [
            f"`{path}` has changed"
            for path, digest in wanted.local.items()
            if path in self.local and self.local[path] != digest
        ]
        return found

    def to_toml(self) -> str:
        """The table `[tool.fnpack]`."""
        values = {name.removesuffix("_digest"): value for name, value in self._asdict().items()}
        kept = {key: value for key, value in values.items() if value or key in {"requirements", "index"}}
        return toml.table("tool.fnpack", {"version": _SCHEMA, **kept})


class Lock(NamedTuple):
    """A lock, in memory. Relative paths in it start at `folder`. `path` is None where it is kept nowhere.

    `is_new` says that it was resolved just now; `note` tells what a person should know about it, if anything.
    """

    folder: Path
    text: str
    inputs: Inputs
    path: Path | None = None
    is_new: bool = False
    note: str = ""

    @property
    def digest(self) -> str:
        """SHA-256 of the lock's text: what was chosen depends on nothing else but the target."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def document(self) -> Pylock:
        """The lock as PEP 751 has it. Raises LockFileError."""
        return parse(self.text, self.path)


@lru_cache(maxsize=4)
def parse(text: str, path: Path | None) -> Pylock:
    """A PEP 751 document. Raises LockFileError."""
    from packaging.pylock import Pylock, PylockUnsupportedVersionError, PylockValidationError

    try:
        return Pylock.from_dict(toml.loads(text))
    except (PylockValidationError, PylockUnsupportedVersionError, ValueError) as error:
        raise _unreadable(path, str(error)) from error


def lock_path(project: Path) -> Path:
    """Where the lock of a project is: pylock.toml, or beside it where another tool's lock has that name."""
    usual, other = project / NAME, project / _OTHER_NAME
    try:
        with usual.open("rb") as file:
            is_ours = file.read(len(_HEADER)) == _HEADER.encode()
    except OSError:
        return other if other.is_file() else usual
    return usual if is_ours else other


def read(path: Path) -> Lock | None:
    """The lock in a file; None where there is none. Only its head is parsed. Raises LockFileError."""
    try:
        text = path.read_bytes().decode()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, str(getattr(error, "strerror", None) or error)) from error
    text = text.replace("\r\n", "\n")
    return Lock(path.parent, text, _inputs(text.partition(_MARK)[0], path), path)


def write(lock: Lock, path: Path) -> bool:
    """Keep the lock; False where the folder cannot be written."""
    try:
        with writing(path) as file:
            file.write(lock.text.encode())
    except CacheUnusable:
        return False
    return True


def render(document: Pylock, inputs: Inputs) -> str:
    """The text of a lock file, its inputs before its packages: the same document gives the same bytes."""
    own, packages = document_parts(document)
    return "\n".join([_HEADER + own, inputs.to_toml(), *packages])


def document_parts(document: Pylock) -> tuple[str, list[str]]:
    """TOML of the document's own values, and of each of its packages."""
    values = {key: value for key, value in document.to_dict().items() if key != "tool"}
    packages = values.pop("packages")
    assert isinstance(packages, Sequence)
    if not packages:
        values["packages"] = []  # an array of tables without a table is not written
    return toml.table("", values), [toml.array_entry("packages", package) for package in packages]


def _inputs(head: str, path: Path) -> Inputs:
    try:
        data = toml.loads(head)
        tool = data["tool"]["fnpack"]  # type: ignore[index]
        if tool["version"] != _SCHEMA:
            raise LockFileError(
                f"{path} was written by another version of fnpack", hint="remove it, and build again"
            )
        return Inputs(
            requirements=tuple(map(str, tool["requirements"])),
            python=str(tool["python"]),
            platforms=dict(tool["platforms"]),
            index_digest=str(tool["index"]),
            constraints=tuple(map(str, tool.get("constraints", ()))),
            provided=tuple(map(str, tool.get("provided", ()))),
            local=dict(tool.get("local", {})),
        )
    except KeyError as error:
        raise _unreadable(path, "it has no section [tool.fnpack] that fnpack wrote") from error
    except (ValueError, TypeError) as error:
        raise _unreadable(path, str(error)) from error


def _unreadable(path: Path | None, reason: str) -> LockFileError:
    return LockFileError(
        f"{path or 'the lock'} cannot be read: {reason.splitlines()[0]}",
        hint="take back what changed it, or remove it: the next build makes a new one",
    )


def differences(what: str, locked: Sequence[str], wanted: Sequence[str]) -> list[str]:
    """What of two lists is not in the other."""
    return [
        *(f"the {what} `{line}` is not in it" for line in sorted(set(wanted) - set(locked))),
        *(f"the {what} `{line}` is gone" for line in sorted(set(locked) - set(wanted))),
    ]


def platform_differences(locked: Mapping[str, str], wanted: Mapping[str, str]) -> list[str]:
    """The platforms that a lock does not do for. Each has the level of its C library."""
    found = []
    for platform, level in wanted.items():
        known = locked.get(platform)
        if known is None:
            found.append(f"it is not for {platform}")
        elif not _fits(known, level):
            found.append(f"it is for {known} on {platform}, and the base image has {level}")
    return found


def levels(targets: Sequence[Target], locked: Mapping[str, str]) -> dict[str, str]:
    """The level of each target's C library; where the base image is not known yet, whatever is locked will do."""
    found = {}
    for target in targets:
        is_known = target.libc_version is not None or target.libc == "musl"
        found[target.platform] = target.level if is_known else locked.get(target.platform, target.level)
    return found


def _fits(locked: str, level: str) -> bool:
    """Whether wheels for the C library `locked` run on one of the level `level`."""
    if "musl" in {locked, level}:
        return locked == level
    return _minor(locked) <= _minor(level)


def _minor(level: str) -> int:
    return int(level.rpartition(".")[2])
