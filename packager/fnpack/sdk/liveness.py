"""Whether the process that does something is still alive: a lock that the kernel lets go of when it ends."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path


def hold(path: Path, *, wait_s: float = 5.0) -> int:
    """Take the lock; it is held until the descriptor, and each copy that a child inherited, is closed.

    Waits for those who only look. Raises BlockingIOError where another process holds it.
    """
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o644)
    deadline = time.monotonic() + wait_s
    while not _locked(descriptor, fcntl.LOCK_EX):
        if time.monotonic() > deadline:
            os.close(descriptor)
            raise BlockingIOError(f"{path} is held by another process")
        time.sleep(0.01)
    return descriptor


def is_held(path: Path) -> bool:
    """Whether a living process holds the lock. Several may look at once."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return False
    try:
        return not _locked(descriptor, fcntl.LOCK_SH)
    finally:
        os.close(descriptor)


def _locked(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
