"""Folders that one living process works in; what a killed process left can be told from it and swept.

A lock file beside the folder is held as long as the process lives: the kernel lets go of it, whatever ends the
process.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_LOCK = ".lock"


@contextmanager
def claimed(parent: Path) -> Iterator[Path]:
    """A new folder below `parent`, gone afterwards."""
    parent.mkdir(parents=True, exist_ok=True)
    folder = parent / uuid.uuid4().hex
    lock = folder.with_suffix(_LOCK)
    descriptor = _lock_new(lock)
    try:
        folder.mkdir()
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        lock.unlink(missing_ok=True)
        os.close(descriptor)


def abandoned(parent: Path) -> bool:
    """Whether a process died while it worked below `parent`."""
    return any(_take(lock, keep=False) for lock in _locks(parent))


def sweep(parent: Path) -> int:
    """Remove the folders that no living process holds; returns how many."""
    return sum(_take(lock, keep=True) for lock in _locks(parent))


def _locks(parent: Path) -> list[Path]:
    return sorted(parent.glob(f"*{_LOCK}")) if parent.is_dir() else []


def _lock_new(path: Path) -> int:
    """Create and lock a file. A sweeper may remove it between the two, and then it is created again."""
    while True:
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o644)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        try:
            if os.stat(path).st_ino == os.fstat(descriptor).st_ino:  # noqa: PTH116 - both in one form
                return descriptor
        except FileNotFoundError:
            pass
        os.close(descriptor)


def _take(lock: Path, *, keep: bool) -> bool:
    """Whether nobody holds `lock`; with `keep` what it guarded is removed then."""
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    else:
        if keep:
            shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
            lock.unlink(missing_ok=True)
        return True
    finally:
        os.close(descriptor)
