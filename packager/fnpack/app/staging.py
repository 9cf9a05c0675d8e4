"""Writes a folder as a whole or not at all, and copies into it with modes that any user of an image can read."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fnpack_triggers.errors import FnpackError

_FOLDER_MODE = 0o755


class TargetError(FnpackError):
    """The folder to write cannot be taken; nothing was changed."""

    code = "FN337"


class WriteError(FnpackError):
    """Writing failed half-way; what was written has been removed."""

    code = "FN339"


@contextmanager
def staged(target: Path, *, marker: str) -> Iterator[Path]:
    """Yield an empty folder beside `target` that takes its place when the block ends well, and vanishes otherwise.

    An existing `target` is replaced only if it is empty or holds `marker`, a file that tells fnpack's own work.
    """
    check_target(target, marker=marker)
    staging: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        staging.chmod(_FOLDER_MODE)
        yield staging
        _replace(staging, target)
    except OSError as error:
        where = error.filename2 or error.filename or target
        raise WriteError(
            f"{target} cannot be written: {error.strerror or error} ({where})",
            hint="free some space there, check permissions, or choose another folder",
        ) from error
    finally:
        if staging is not None:
            shutil.rmtree(staging, ignore_errors=True)


def check_target(target: Path, *, marker: str) -> None:
    """Raise TargetError unless `target` is absent, an empty folder, or a folder that fnpack wrote."""
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise TargetError(f"{target} is not a folder", hint="choose another place, or remove it")
    if target.is_dir() and any(target.iterdir()) and not (target / marker).is_file():
        raise TargetError(
            f"{target} is not empty, and fnpack did not write it (it has no {marker})",
            hint="choose an empty or new folder; fnpack replaces only what it wrote itself",
        )


def _replace(staging: Path, target: Path) -> None:
    """Put `staging` where `target` is. The old folder comes back if the second rename fails."""
    if not target.exists():
        staging.rename(target)
        return
    attic = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        old = target.rename(attic / target.name)
        try:
            staging.rename(target)
        except OSError:
            old.rename(target)
            raise
    finally:
        shutil.rmtree(attic, ignore_errors=True)


def make_folder(path: Path) -> None:
    """Create `path` and its parents, readable by everyone whatever the umask."""
    if path.is_dir():
        return
    for folder in reversed([path, *path.parents]):
        if not folder.exists():
            folder.mkdir()
            folder.chmod(_FOLDER_MODE)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 with plain line ends, readable by everyone."""
    make_folder(path.parent)
    path.write_bytes(text.encode())
    path.chmod(0o644)


def copy_file(source: Path, target: Path) -> None:
    """Copy content and time; the mode becomes 0644, or 0755 for an executable."""
    make_folder(target.parent)
    shutil.copyfile(source, target)
    status = source.stat()
    target.chmod(_plain_mode(status.st_mode))
    os.utime(target, ns=(status.st_mtime_ns, status.st_mtime_ns))


def link_or_copy_file(source: Path, target: Path) -> None:
    """Hard-link a large file where the file system allows it and its mode suits an image; copy it otherwise."""
    status = source.stat()
    if status.st_mode & 0o444 == 0o444:
        make_folder(target.parent)
        try:
            os.link(source.resolve(), target)
        except OSError:  # another file system, or one without links
            pass
        else:
            return
    copy_file(source, target)


def _plain_mode(mode: int) -> int:
    return 0o755 if mode & 0o100 else 0o644
