"""Keeps the cache from growing for ever: what no build has used for thirty days is removed while no build runs.

Builds hold a lock in the cache together; whoever removes holds it alone, or leaves it to a later build. The kernel lets
go of it, whatever ends a process. Where there are no such locks, nothing is removed.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fnpack.cache_folder import cache_folder

KEEP_S = 30 * 24 * 3600
KEEP_NOTES_S = 365 * 24 * 3600
_DAY_S = 24 * 3600
_PATIENCE_S = 30
# What is removed by the time of its last use, and the file that has that time, where that is another.
_AGING = {
    "wheels/*/*/*": "",
    "bases/*.tar": "",
    "registry/blobs/*/*": "",
    "conda/*": "fnpack.json",
}
# A few kilobytes each, made again where they are missed: they go a year after they were written.
_NOTES = (
    "*/*.json",
    "base-python/*",
    "layers/clashes/*",
    "layers/digests/*",
    "layers/models/*",
    "layers/recipes/*",
    "registry/pushed/*",
)
_RESTS = (".part-*", ".new-*", ".work-*", ".old-*")  # of processes that were killed


def used(path: Path) -> None:
    """Note that a file of the cache is in use. Written once a day: a build that has all it needs writes nothing."""
    with suppress(OSError):
        if time.time() - path.stat().st_mtime > _DAY_S:
            os.utime(path)


@contextmanager
def in_use() -> Iterator[None]:
    """Nothing is removed from the cache meanwhile. Once a day, at the end, what is old is, if no other build runs."""
    folder = cache_folder()
    lock = _opened(folder / "lock")
    if lock is None:
        yield
        return
    try:
        deadline = time.monotonic() + _PATIENCE_S
        while not _took(lock, alone=False) and time.monotonic() < deadline:
            time.sleep(0.02)  # another process removes just now
        yield
        if _is_due(folder / "pruned") and _took(lock, alone=True):
            prune(folder)
            with suppress(OSError):
                (folder / "pruned").touch()
    finally:
        os.close(lock)


def prune(folder: Path, *, keep_s: float = KEEP_S, keep_notes_s: float = KEEP_NOTES_S) -> int:
    """Remove what was not used for so long, notes of so long ago, and layers beyond their limit; returns how many."""
    from fnpack.check.tree import prune as prune_checks
    from fnpack.oci.layer_cache import LayerCache

    removed = prune_checks(folder / "checks", keep_s=keep_s) + LayerCache(folder / "layers").prune()
    before = time.time() - keep_s
    for pattern, marker in _AGING.items():
        for path in folder.glob(pattern):
            removed += _removed(path, path / marker if marker else path, before)
    for pattern in _NOTES:
        for path in folder.glob(pattern):
            removed += _removed(path, path, time.time() - keep_notes_s)
    for depth in range(4):
        for rest in _RESTS:
            for path in folder.glob("*/" * depth + rest):
                removed += _removed(path, path, time.time() - _DAY_S)
    for empty in (*folder.glob("wheels/*/*"), *folder.glob("wheels/*")):
        with suppress(OSError):
            empty.rmdir()
    return removed


def _removed(path: Path, marker: Path, before: float) -> bool:
    import shutil

    try:
        if (marker if marker.exists() else path).lstat().st_mtime >= before:
            return False
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    except OSError:
        return False
    return True


def _is_due(mark: Path) -> bool:
    try:
        return time.time() - mark.stat().st_mtime > _DAY_S
    except OSError:
        return True


def _took(lock: int, *, alone: bool) -> bool:
    import fcntl

    try:
        fcntl.flock(lock, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _opened(path: Path) -> int | None:
    try:
        import fcntl  # noqa: F401 - not on every system
    except ImportError:
        return None
    with suppress(OSError):
        return os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o666)
    return None
