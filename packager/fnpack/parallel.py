"""Work on several things at a time, with a few threads; the first failure stops the others."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")
_GOODBYE_S = 2.0  # for threads that wait for a network; they are daemons, so none holds the process


def beside(work: Callable[[], R]) -> Callable[[], R]:
    """Begin `work` on a thread of its own; returns what waits for its result, or raises what it raised.

    Nobody need wait: the thread does not hold the process.
    """
    results: list[R] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as exc:
            errors.append(exc)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()

    def wait() -> R:
        thread.join()
        if errors:
            raise errors[0]
        return results[0]

    return wait


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
