"""Tells which files have changed, from a thread of its own, so that no change is missed while an app starts."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from fnpack.dev.errors import DevError

_POLL_MS = 50
_QUIET_MS = 100  # no change for so long: an editor has done
_TOGETHER_MS = 2000
_START_S = 10.0
_CACHES = ("__pycache__", "node_modules")


class Watcher:
    """Watches folders and files from `start` to `stop`."""

    def __init__(self, paths: Sequence[Path], matters: Callable[[Path], bool]) -> None:
        self.paths = tuple(paths)
        self._matters = matters
        self._found: queue.SimpleQueue[list[str] | Exception] = queue.SimpleQueue()
        self._ready, self._over = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._watch, name="fnpack-dev-watcher", daemon=True)

    def start(self) -> None:
        """Begin; whatever changes after this is told."""
        self._thread.start()
        self._ready.wait(_START_S)

    def wait(self, timeout_s: float) -> list[str]:
        """The names of files that have changed, nothing if none does in that time. Raises DevError."""
        try:
            found = self._found.get(timeout=timeout_s)
        except queue.Empty:
            return []
        if isinstance(found, Exception):
            raise DevError(
                f"changes cannot be followed: {found}",
                hint="run with --no-reload; on Linux, fs.inotify.max_user_watches may be too low for a large folder",
            ) from found
        return found

    def stop(self) -> None:
        """End."""
        self._over.set()
        self._thread.join(_START_S)

    def _watch(self) -> None:
        from watchfiles import watch

        try:
            for changes in watch(
                *self.paths,
                watch_filter=lambda _, path: self._is_wanted(Path(path)),
                debounce=_TOGETHER_MS,
                step=_QUIET_MS,
                stop_event=self._over,
                rust_timeout=_POLL_MS,
                yield_on_timeout=True,
            ):
                if changes:
                    self._found.put(sorted({Path(path).name for _, path in changes}))
                self._ready.set()
        except Exception as error:  # a folder that is gone: whoever waits is told
            self._found.put(error)
            self._ready.set()

    def _is_wanted(self, path: Path) -> bool:
        """Whether a change matters, and is not below a hidden folder (a virtual environment, ours) or one of caches."""
        root = next((one for one in self.paths if path.is_relative_to(one)), path)
        parts = path.relative_to(root).parts
        return not any(part.startswith(".") or part in _CACHES for part in parts) and self._matters(path)
