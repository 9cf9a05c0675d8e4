"""Tells a full disk as such: which place has no room, and what names another one."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fnpack.cache_folder import cache_folder
from fnpack_triggers.errors import FnpackError

_ERRNOS = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}
_SAID = rf"\[Errno (?:{'|'.join(map(str, _ERRNOS))})\]|\(os error (?:{'|'.join(map(str, _ERRNOS))}|112)\)"
_LITTLE_BYTES = 1 << 20


class DiskFull(FnpackError):  # noqa: N818 - says what happened
    """A disk has no room, or its quota is used up."""

    code = "FN005"


def is_full(error: BaseException) -> bool:
    """Whether an error means that a disk is full; `shutil` puts several into one, as texts."""
    import shutil  # of no use to a build that goes well

    if isinstance(error, shutil.Error):
        return says_full(str(error))
    return isinstance(error, OSError) and error.errno in _ERRNOS


def says_full(text: str) -> bool:
    """Whether a program (uv, say) says so, in Python's words or in Rust's."""
    return bool(re.search(_SAID, text))


def disk_full(place: Path | None = None) -> DiskFull:
    """The error for `place`, or for whatever looks full where nobody knows."""
    if place is not None:
        return _of(place)
    full = [one for one in _places() if _free_bytes(one) < _LITTLE_BYTES]
    if full:
        return _of(full[0])
    listed = ", ".join(str(one) for one in _places())
    return DiskFull(
        f"no space left on the disk of one of these: {listed}",
        hint="free some space; FNPACK_CACHE, TMPDIR and --output name other places",
    )


def as_full_disk(error: OSError) -> DiskFull | None:
    """What an error says of a disk that is full, or None; also where there is no room for temporary files anywhere."""
    if error.errno == errno.ENOENT and "usable temporary directory" in str(error):  # tempfile tried to write
        return DiskFull(
            "no folder for temporary files can be written, or all are full",
            hint="free some space in /tmp, or name another folder with TMPDIR",
        )
    return disk_full(Path(error.filename) if error.filename else None) if is_full(error) else None


@contextmanager
def told_full_disk(place: Path | None = None) -> Iterator[None]:
    """A full disk in the block as DiskFull; other errors as they are."""
    try:
        yield
    except OSError as error:
        if not is_full(error):
            raise
        raise disk_full(place) from error


def _of(place: Path) -> DiskFull:
    hints = (
        "name another cache with FNPACK_CACHE",
        "name another folder for temporary files with TMPDIR",
        "call fnpack in another folder",
    )
    for known, hint in zip(_places(), hints, strict=True):
        if place == known or known in place.parents:
            return DiskFull(f"no space left on the disk of {known}", hint=f"free some space there, or {hint}")
    return DiskFull(f"no space left on the disk of {place}", hint="free some space there")


def _places() -> tuple[Path, Path, Path]:
    import tempfile

    return cache_folder(), Path(tempfile.gettempdir()), Path.cwd()


def _free_bytes(place: Path) -> int:
    import shutil

    try:
        return shutil.disk_usage(next(one for one in (place, *place.parents) if one.exists())).free
    except (OSError, StopIteration):
        return _LITTLE_BYTES
