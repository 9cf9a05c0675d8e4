"""A cache for builds where the one that is named cannot be written: a folder of this process, gone when it ends.

It shows what the other one holds, as links, so that a cache that somebody filled and mounted read-only is of use.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fnpack.cache_folder import cache_folder, stand_in_for
from fnpack.cache_pruning import in_use
from fnpack.progress import Progress, ProgressEvent, ignore

# Folders that are linked as they are; none of their files is ever written again.
_WHOLE = ("conda/*/tree", "checks/packages/*")
_LEFT_OUT = {"checks/uv", "azurite"}  # another program writes into them
_LOCK = threading.Lock()
_REASONS: dict[Path, tuple[Path, str]] = {}  # by stand-in, the folder and what is wrong with it


@contextmanager
def using_cache(progress: Progress = ignore) -> Iterator[None]:
    """A cache that can be written, from which nothing is removed meanwhile."""
    usable_cache(progress)
    with in_use():
        yield


def usable_cache(progress: Progress = ignore) -> None:
    """See to it that `cache_folder()` can be written, and say so where another folder has to stand in for it.

    A full one is left as it is: a build that has all it needs writes nothing. Raises OSError where there is no folder
    for temporary files either.
    """
    with _LOCK:
        folder = cache_folder()
        if folder not in _REASONS and (reason := _fault(folder)):
            stand_in = _stand_in(folder)
            _REASONS[stand_in] = folder, reason
            stand_in_for(folder, stand_in)
            folder = stand_in
    if folder in _REASONS:
        named, reason = _REASONS[folder]
        text = f"{named} cannot be written ({reason}); FNPACK_CACHE names another folder"
        progress(ProgressEvent("keep packages and layers for the next build", "skipped", text))


def _fault(folder: Path) -> str:
    """Why the folder cannot be written, "" if it can or is full."""
    from fnpack.full_disk import is_full

    try:
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK | os.X_OK):
            return ""
        probe = folder / f".probe-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except FileExistsError:
        return "it is not a folder"
    except OSError as error:
        return "" if is_full(error) else error.strerror or str(error)
    return ""


def _stand_in(folder: Path) -> Path:
    import atexit
    import shutil
    import tempfile

    place = Path(tempfile.mkdtemp(prefix="fnpack-cache-"))
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    if folder.is_dir():
        _show(folder, place, "")
    return place


def _show(source: Path, place: Path, inside: str) -> None:
    with suppress(OSError):  # what cannot be read is not there
        for entry in os.scandir(source):
            name = f"{inside}/{entry.name}".lstrip("/")
            if entry.name.startswith(".") or name in _LEFT_OUT:
                continue
            target = place / entry.name
            is_folder = entry.is_dir() and not any(Path(name).match(one) for one in _WHOLE)
            if is_folder:
                target.mkdir()
                _show(Path(entry.path), target, name)
            else:
                target.symlink_to(Path(entry.path).absolute())
