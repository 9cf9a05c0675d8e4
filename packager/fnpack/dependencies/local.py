"""Requirement lines that name a folder or file of this machine, or a git repository: what they point to."""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from fnpack.dependencies.cache import read_note, sha256_of, write_note

_METADATA = (
    "pyproject.toml",
    "setup.py",
    "setup.cfg",
    "requirements*.txt",
)  # may say what a package depends on
# What a build leaves behind or never reads.
UNREAD_FOLDERS = {
    "__pycache__",
    ".git",
    ".hg",
    ".svn",
    ".venv",
    "venv",
    "build",
    "dist",
    ".tox",
    ".nox",
    ".mypy_cache",
}
_YOUNG_S = 2.0
UNREAD_FOLDERS |= {".pytest_cache", ".ruff_cache", "node_modules"}


def local_path(line: str) -> Path | None:
    """The absolute path in `/a/local[extra]`, `name @ file:///a/local ; marker` or `name @ /a/local`; else None."""
    address = line.partition(" @ ")[2].strip() or line
    address = re.split(r"\s+;", address)[0].strip()
    if address.startswith("file:"):
        return Path(unquote(urlsplit(address).path))
    if address.startswith("/") or re.match(r"[A-Za-z]:[\\/]", address):
        return Path(re.sub(r"\[[^\[\]]*\]$", "", address))
    return None


def portable(line: str, folder: Path) -> str:
    """The line with paths below `folder` relative to it, so that it is the same on another machine."""
    path = local_path(line)
    if path is None:
        return line
    relative = Path(os.path.relpath(path, folder)).as_posix()
    short = relative if relative.startswith("..") else f"./{relative}"
    return line.replace(path.as_uri(), short).replace(str(path), short)


def local_inputs(lines: Iterable[str], folder: Path) -> dict[str, str]:
    """For each local path, as `portable` has it, the hash of what decides about its dependencies."""
    found = {}
    for line in lines:
        path = local_path(line)
        if path is not None:
            digest = sha256_of(path) if path.is_file() else _digest(path, metadata_files(path))
            found[portable(str(path), folder)] = digest
    return found


def metadata_files(folder: Path) -> Iterator[Path]:
    """The files of a source folder that may say what it depends on."""
    for pattern in _METADATA:
        yield from sorted(folder.glob(pattern))


def tree_digest(folder: Path) -> str:
    """SHA-256 over the names and contents of a source folder's files.

    The contents are read once: the digest is remembered by every file's size and time, unless a file is so young
    that a second change could have the same time.
    """
    files = list(source_files(folder))
    stats = [(path.relative_to(folder).as_posix(), path.stat()) for path in files if path.is_file()]
    facts = [f"{name} {stat.st_size} {stat.st_mtime_ns} {stat.st_ino}" for name, stat in stats]
    key = hashlib.sha256("\n".join([str(folder), *facts]).encode()).hexdigest()
    kept = read_note("trees", key)
    if isinstance(kept, str):
        return kept
    digest = _digest(folder, files)
    if all(time.time() - stat.st_mtime > _YOUNG_S for _, stat in stats):
        write_note("trees", key, digest)
    return digest


def source_files(folder: Path) -> Iterator[Path]:
    """The files that a package may be built from, in a fixed order."""
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(n for n in folders if n not in UNREAD_FOLDERS and not n.endswith(".egg-info"))
        yield from (Path(parent, name) for name in sorted(names) if not is_unread_file(name))


def is_unread_file(name: str) -> bool:
    """Whether a package's contents cannot depend on the file."""
    return name.endswith((".pyc", ".pyo")) or (name.startswith("pylock.") and name.endswith(".toml"))


def _digest(folder: Path, files: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for path in files:
        name = path.relative_to(folder).as_posix()
        content = sha256_of(path) if path.is_file() else ""
        digest.update(f"{content}  {name}\n".encode())
    return digest.hexdigest()
