"""SCORING_TIMEOUT_MS: ends a call of `run` that takes too long, where that can be done without ending the process."""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
from collections.abc import Awaitable, Callable
from types import FrameType
from typing import TypeVar

from .background_loop import outcome
from .errors import ScoringTimeout

T = TypeVar("T")
log = logging.getLogger("fnpack_scoring")


class TimeLimit:
    """Calls with a limit of `timeout_ms`; None is no limit.

    A synchronous call is interrupted by a signal, which only the main thread takes: fnpack's host calls there,
    Microsoft's does not, and has `functionTimeout` instead.
    """

    def __init__(self, timeout_ms: int | None) -> None:
        self.timeout_ms = timeout_ms
        self._is_told = False

    def call(self, work: Callable[[], T]) -> T:
        """Call `work`. Raises ScoringTimeout, in the middle of it."""
        if self.timeout_ms is None or not self._can_interrupt():
            return work()
        earlier = signal.signal(signal.SIGALRM, self._interrupt)
        try:
            signal.setitimer(signal.ITIMER_REAL, self.timeout_ms / 1000)
            try:
                return work()
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
        finally:
            signal.signal(signal.SIGALRM, earlier)

    async def wait(self, work: Awaitable[T]) -> T:
        """Await `work`; it is cancelled when its time is up. Raises ScoringTimeout."""
        if self.timeout_ms is None:
            return await work
        task = asyncio.ensure_future(outcome(work))
        try:
            done, _ = await asyncio.wait({task}, timeout=self.timeout_ms / 1000)
        except asyncio.CancelledError:
            task.cancel()
            raise
        if not done:
            task.cancel()
            raise ScoringTimeout(self.timeout_ms)
        value, error = task.result()
        if error is not None:
            raise error
        return value  # type: ignore[return-value]

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        raise ScoringTimeout(self.timeout_ms or 0)

    def _can_interrupt(self) -> bool:
        if hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread():
            return True
        if not self._is_told:
            self._is_told = True
            log.warning(
                "SCORING_TIMEOUT_MS does not end a synchronous run() on this host, which calls it in a thread; "
                "functionTimeout in host.json does"
            )
        return False
