"""How long work reports on itself: plain events, so that a terminal, a log and a test can each show them their way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Status = Literal["started", "running", "done", "cached", "failed"]


@dataclass(frozen=True, slots=True)
class ProgressEvent:
    """One thing that happened to one step. `detail` is a line of output or a layer's state, never a secret."""

    step: str
    status: Status
    detail: str = ""
    current_bytes: int | None = None
    total_bytes: int | None = None
    duration_s: float | None = None


Progress = Callable[[ProgressEvent], None]


def ignore(event: ProgressEvent) -> None:
    """A `Progress` for callers that do not want to know."""
