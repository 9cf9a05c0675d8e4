"""Digests of files, remembered with their size, time and inode: what did not change is not read again."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from fnpack.atomic_file import replacing
from fnpack.oci.errors import UnsafeContent

Stamp = tuple[int, ...]
_CHUNK_BYTES = 1 << 20
_YOUNG_S = 2.0  # a file that was written just now may change again within its time stamp's grain


class HashedFile(NamedTuple):
    """A file in an image: its path (no leading slash), the SHA-256 of its bytes as 64 hex digits, size and mode."""

    path: str
    sha256: str
    size_bytes: int
    is_executable: bool = False


def chunks(path: Path, offset: int = 0) -> Iterator[bytes]:
    """A regular file's bytes in pieces. Raises UnsafeContent for anything else, which might never end."""
    if not path.is_file():
        raise UnsafeContent(f"{path} is not a file", hint="take it out of the folder")
    with path.open("rb") as file:
        file.seek(offset)
        while chunk := file.read(_CHUNK_BYTES):
            yield chunk


def stamp_of(file: Path) -> Stamp:
    """What tells that a file is that of before."""
    return _stamp(file.stat())


def _stamp(status: os.stat_result) -> Stamp:
    return status.st_size, status.st_mtime_ns, status.st_ino, status.st_dev


def is_young(stamp: Stamp) -> bool:
    """Whether the file may yet change without another stamp."""
    return time.time_ns() - stamp[1] < _YOUNG_S * 1e9


def changed(file: Path) -> UnsafeContent:
    """The error for a file whose stamp is not that of its digest."""
    return UnsafeContent(
        f"{file} changed while the image was built", hint="build again when nothing writes the model"
    )


def hashed_files(files: Mapping[str, Path], note: Path | None = None) -> list[tuple[HashedFile, Stamp]]:
    """The files by path in the image, each read once; not at all if `note` knows its stamp."""
    noted, known = _read(note), {}
    found = []
    for path, file in sorted(files.items()):
        status = os.stat(file)  # noqa: PTH116 - of hundreds of files, in a third of the time
        stamp = _stamp(status)
        was_young, key = is_young(stamp), f"{path} {stamp}"
        sha256 = noted.get(key) or _sha256(file)
        if not was_young:
            known[key] = sha256
        found.append((HashedFile(path, sha256, stamp[0], bool(status.st_mode & 0o100)), stamp))
    if note is not None and known != noted:
        with contextlib.suppress(OSError), replacing(note, 0o666) as out:  # they are read again next time
            out.write(json.dumps(known).encode())
    return found


def _sha256(file: Path) -> str:
    digest = hashlib.sha256()
    for chunk in chunks(file):
        digest.update(chunk)
    return digest.hexdigest()


def _read(note: Path | None) -> dict[str, str]:
    if note is None:
        return {}
    try:
        found = json.loads(note.read_bytes())
    except (OSError, ValueError):
        return {}
    return {str(key): str(value) for key, value in found.items()} if isinstance(found, dict) else {}
