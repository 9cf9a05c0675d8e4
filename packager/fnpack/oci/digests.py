"""Knows a file's SHA-256 without reading it, if it was read before and nothing says that it changed since."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from fnpack.oci.cache import LayerCache

if TYPE_CHECKING:
    from queue import Queue
    from threading import Thread

BLOCK_BYTES = 1 << 20
_KIND = "files"
_SURE_NS = 2_000_000_000  # a file system's clock may stand still that long: a later write has the same time


def known_digest(path: Path, status: os.stat_result, cache: LayerCache) -> str | None:
    """The SHA-256 (hex) of a file, if it was read in this state, and long enough after its last change to be sure."""
    note = cache.note(_KIND, _key(path))
    if not isinstance(note, dict) or note.get("state") != _state(status):
        return None
    is_sure = int(note["at_ns"]) - max(status.st_mtime_ns, status.st_ctime_ns) > _SURE_NS
    return str(note["sha256"]) if is_sure else None


def remember_digest(path: Path, status: os.stat_result, sha256: str, at_ns: int, cache: LayerCache) -> None:
    """Keep what was read of a file; reading began at `at_ns`, when it had this status."""
    cache.write_note(_KIND, _key(path), {"state": _state(status), "sha256": sha256, "at_ns": at_ns})


def file_digest(path: Path, cache: LayerCache) -> str:
    """The SHA-256 (hex) of a file, read only if need be. Raises OSError."""
    status, at_ns = path.stat(), time.time_ns()
    known = known_digest(path, status, cache)
    if known is None:
        digest = hashlib.sha256()
        with path.open("rb") as file:
            while block := file.read(BLOCK_BYTES):
                digest.update(block)
        known = digest.hexdigest()
        remember_digest(path, status, known, at_ns, cache)
    return known


def _key(path: Path) -> str:
    return os.path.realpath(path)


def _state(status: os.stat_result) -> list[int]:
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]


class Aside:
    """A SHA-256 that is computed in a thread of its own, so that a second one takes no more time than the first."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self._blocks: Queue[bytes] | None = None
        self._thread: Thread | None = None

    def __enter__(self) -> Aside:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._blocks is not None and self._thread is not None:
            self._blocks.put(b"")
            self._thread.join()

    def update(self, block: bytes) -> None:
        """Take the next bytes. The first short block is hashed at once: most files are no more than that."""
        if len(block) < BLOCK_BYTES and self._blocks is None:
            self._digest.update(block)
            return
        if self._blocks is None:
            from queue import Queue
            from threading import Thread

            self._blocks = Queue(maxsize=4)
            self._thread = Thread(target=self._run, args=(self._blocks,), daemon=True)
            self._thread.start()
        self._blocks.put(block)

    def hexdigest(self) -> str:
        """The hash, once the block has ended."""
        return self._digest.hexdigest()

    def _run(self, blocks: Queue[bytes]) -> None:
        while block := blocks.get():
            self._digest.update(block)
