"""Chooses from a lock what one image gets: for each package the best wheel, else the source to build one from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple
from urllib.parse import unquote, urlsplit

from fnpack.dependencies.cache import place_of, read_note, write_note
from fnpack.dependencies.errors import NoFittingWheel
from fnpack.dependencies.lockfile import Lock
from fnpack.dependencies.target import Target
from fnpack.dependencies.wheels import WheelFile

if TYPE_CHECKING:
    from packaging.pylock import Package, PackageArchive, PackageSdist, PackageWheel

Kind = Literal["wheel", "archive", "folder", "git"]
_SCHEMA = 1


class Selected(NamedTuple):
    """One package of an image. `kind` says what is locked: a wheel, a source archive, a source folder, a git commit.

    Wheels and archives have `filename`, `sha256` and either `url` or `path` (absolute); a folder has `path`; git has
    `url` and `commit`. `version` is "" where only a build tells it.
    """

    kind: Kind
    name: str
    version: str = ""
    filename: str = ""
    sha256: str = ""
    url: str | None = None
    path: str | None = None
    size_bytes: int | None = None
    commit: str = ""
    subdirectory: str = ""

    @property
    def wheel(self) -> WheelFile | None:
        """The wheel as it will be in the cache, whether it is there yet or not; None where it has to be built."""
        if self.kind != "wheel":
            return None
        return WheelFile(
            self.name, self.version, place_of(self.sha256, self.filename), self.sha256, self.filename
        )


def select(lock: Lock, target: Target) -> tuple[Selected, ...]:
    """What `target` gets from the lock, sorted by name. Raises NoFittingWheel, LockFileError.

    The choice is remembered by the lock's digest, since the tags of a platform are some two thousand.
    """
    facts = [str(_SCHEMA), lock.digest, str(lock.folder), repr(target)]
    key = hashlib.sha256("\0".join(facts).encode()).hexdigest()
    kept = read_note("selections", key)
    if isinstance(kept, list):
        with suppress(TypeError):  # a memory of another version of fnpack
            return tuple(Selected(**entry) for entry in kept)
    chosen = tuple(sorted(_choose(lock, target), key=lambda one: one.name))
    write_note("selections", key, [one._asdict() for one in chosen])
    return chosen


def _choose(lock: Lock, target: Target) -> Iterator[Selected]:
    from packaging.pylock import PylockSelectError

    try:
        for package, source in lock.document.select(environment=target.markers(), tags=target.tags()):
            yield _selected(package, source, lock.folder)
    except PylockSelectError as error:
        raise NoFittingWheel(
            f"the lock has nothing for Python {target.python_version} on {target.platform} ({target.level}): {error}",
            hint="choose a base image with a newer C library or another Python, or another version of the package",
        ) from error


def _selected(package: Package, source: object, folder: Path) -> Selected:
    from packaging.pylock import PackageDirectory, PackageVcs

    name, version = str(package.name), str(package.version or "")
    match source:
        case PackageDirectory():
            path = str(folder / source.path)
            return Selected("folder", name, version, path=path, subdirectory=source.subdirectory or "")
        case PackageVcs():
            return Selected(
                "git",
                name,
                version,
                url=source.url or str(folder / (source.path or "")),
                commit=source.commit_id,
                subdirectory=source.subdirectory or "",
            )
    return _file(name, version, source, folder)  # type: ignore[arg-type]


def _file(
    name: str, version: str, source: PackageArchive | PackageSdist | PackageWheel, folder: Path
) -> Selected:
    filename = getattr(source, "filename", None)
    if filename is None:  # an archive has no name of its own
        address = source.url and urlsplit(source.url).path
        filename = unquote((address or source.path or "").replace("\\", "/").rpartition("/")[2])
    if "sha256" not in source.hashes:
        raise NoFittingWheel(
            f"`{filename}` has no sha256 in the lock",
            hint="the index has to offer SHA-256 hashes; if the lock was edited, remove it and build again",
        )
    return Selected(
        "wheel" if filename.endswith(".whl") else "archive",
        name,
        version,
        filename,
        source.hashes["sha256"],
        source.url,
        str(folder / source.path) if source.path else None,
        source.size,
        subdirectory=getattr(source, "subdirectory", None) or "",
    )
