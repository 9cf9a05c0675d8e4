"""How long work reports on itself: plain events, so that a terminal, a log and a test can each show them their way."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal, NamedTuple

# `skipped` steps were not done, for the reason in `detail`; a `phase` has ended, and is no step of its own.
Status = Literal["started", "running", "done", "cached", "skipped", "failed", "phase"]
Phase = Literal["base", "resolve", "layers", "models", "build", "check", "write", "push"]
PUSHED = "pushed"


class ProgressEvent(NamedTuple):
    """One thing that happened to one step. `detail` is a line of output or a layer's state, never a secret.

    What was sent to a registry ends as `done` with the detail `pushed` and its size in `total_bytes`.
    """

    step: str
    status: Status
    detail: str = ""
    current_bytes: int | None = None
    total_bytes: int | None = None
    duration_s: float | None = None
    phase: Phase | None = None


Progress = Callable[[ProgressEvent], None]


def ignore(event: ProgressEvent) -> None:
    """A `Progress` for callers that do not want to know."""


@contextmanager
def in_phase(progress: Progress, phase: Phase) -> Iterator[Progress]:
    """A `Progress` whose events belong to `phase`; how long that took is told at its end."""
    since = time.monotonic()

    def inside(event: ProgressEvent) -> None:
        progress(event if event.phase else event._replace(phase=phase))

    try:
        yield inside
    finally:
        progress(ProgressEvent(phase, "phase", duration_s=time.monotonic() - since, phase=phase))


class Tally:
    """A `Progress` that adds up what a build does, and passes events on one at a time, from whatever thread.

    `phases` are seconds by phase, in the order in which they ended; phases that ran at once overlap. `sent_bytes` are
    those of blobs that a registry took.
    """

    def __init__(self, progress: Progress = ignore) -> None:
        self._progress, self._lock = progress, threading.Lock()
        self.phases: dict[str, float] = {}
        self.sent_bytes = 0

    def __call__(self, event: ProgressEvent) -> None:
        """Count the event, then pass it on."""
        with self._lock:
            if event.status == "phase":
                self.phases[event.step] = self.phases.get(event.step, 0.0) + (event.duration_s or 0.0)
            elif event.status == "done" and event.detail == PUSHED:
                self.sent_bytes += event.total_bytes or 0
            self._progress(event)

    def facts(self) -> dict[str, object]:
        """Phases and bytes as a program reads them."""
        phases = {name: round(seconds, 3) for name, seconds in self.phases.items()}
        return {"phases": phases, "sent_bytes": self.sent_bytes}
