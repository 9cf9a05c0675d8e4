"""Work on several things at a time, with a few threads; the first failure stops the others."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")
_GOODBYE_S = 2.0  # for threads that wait for a network; they are daemons, so none holds the process


def in_parallel(work: Callable[[T, threading.Event], None], items: Sequence[T], workers: int) -> None:
    """Do `work(item, stopped)` for all items and raise the first error. `stopped` is set when one failed."""
    stopped = threading.Event()
    if len(items) <= 1 or workers <= 1:
        for item in items:
            work(item, stopped)
        return
    left, lock = iter(items), threading.Lock()
    errors: list[BaseException] = []

    def worker() -> None:
        while not stopped.is_set():
            with lock:
                item = next(left, None)
            if item is None:
                return
            try:
                work(item, stopped)
            except BaseException as exc:
                errors.append(exc)  # one that `stopped` ended comes after the one that set it
                stopped.set()

    threads = [threading.Thread(target=worker, daemon=True) for _ in range(min(workers, len(items)))]
    for thread in threads:
        thread.start()
    try:
        while any(thread.is_alive() for thread in threads) and not errors:
            for thread in threads:
                thread.join(0.1)
    finally:
        stopped.set()
        deadline = time.monotonic() + _GOODBYE_S
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
    if errors:
        raise errors[0]
