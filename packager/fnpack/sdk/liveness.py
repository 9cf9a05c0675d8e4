"""Whether the process that does something is still alive: a lock that the kernel lets go of when it ends."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


def hold(path: Path) -> int:
    """Take the lock; it is held until the descriptor, and each copy that a child inherited, is closed."""
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def is_held(path: Path) -> bool:
    """Whether a living process holds the lock."""
    try:
        os.close(hold(path))
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False
