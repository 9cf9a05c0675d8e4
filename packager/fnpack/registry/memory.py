"""What this machine remembers from run to run: tokens until they expire, and which blobs a repository has.

All of it may be lost, stale, unwritable or another process's at any time: then a request more is made. Files are
readable by their owner alone; passwords are never among them.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterable
from pathlib import Path

from fnpack.atomic_file import replacing

_KNOWN_FOR_S = 24 * 3600.0  # a registry may collect what no manifest names any more


class Memory:
    """Small JSON files in a folder, or nothing at all where the folder is None."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self.changing = threading.Lock()  # between reading and writing

    def read(self, name: str) -> dict[str, object]:
        """What was kept under a name; empty if that is missing or broken."""
        if self._folder is None:
            return {}
        try:
            found = json.loads((self._folder / name).read_bytes())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def write(self, name: str, content: dict[str, object]) -> None:
        """Keep it, whole or not at all; a folder that cannot be written keeps nothing."""
        if self._folder is None:
            return
        with contextlib.suppress(OSError), replacing(self._folder / name) as file:
            file.write(json.dumps(content).encode())

    def remove(self, name: str) -> None:
        """Forget it."""
        if self._folder is not None:
            with contextlib.suppress(OSError):
                (self._folder / name).unlink()


class PushedBlobs:
    """The blobs that a repository had when this machine last pushed there, for a day."""

    def __init__(self, memory: Memory, repository: str) -> None:
        from hashlib import sha256

        self._memory = memory
        self._name = f"pushed/{sha256(repository.encode()).hexdigest()[:32]}.json"

    def known(self) -> frozenset[str]:
        """Digests that are most likely there."""
        since = time.time() - _KNOWN_FOR_S
        return frozenset(
            digest
            for digest, seen in self._memory.read(self._name).items()
            if isinstance(seen, int | float) and seen >= since
        )

    def remember(self, digests: Iterable[str]) -> None:
        """They are there now; what others remembered meanwhile is kept."""
        now = time.time()
        with self._memory.changing:
            kept = {
                digest: seen
                for digest, seen in self._memory.read(self._name).items()
                if isinstance(seen, int | float) and seen >= now - _KNOWN_FOR_S
            }
            self._memory.write(self._name, {**kept, **dict.fromkeys(digests, now)})

    def forget(self) -> None:
        """The registry has lost some, so none is certain."""
        self._memory.remove(self._name)
