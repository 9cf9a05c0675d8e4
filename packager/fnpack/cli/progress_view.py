"""How progress looks on stderr: redrawn lines on a terminal, plain lines elsewhere, JSON for programs, or nothing."""

from __future__ import annotations

import json
import re
import shutil
import sys
import time
from collections.abc import Callable
from datetime import datetime, timezone
from typing import NamedTuple, Protocol, TextIO

from fnpack.progress import ProgressEvent

KINDS = ("auto", "plain", "json", "none")
SCHEMA_VERSION = 1
_STEP_WIDTH = 90
_MOST_LINES = 8
_REDRAWS_PER_S = 10
_BYTE_STATES = frozenset({"known", "present", "mounted", "pushed", "made", "written"})
Paint = Callable[[str, str], str]


class View(Protocol):
    """Shows events. `clear` makes room for another line, after which `redraw` may show again what runs."""

    def show(self, event: ProgressEvent) -> None:
        """Take one event."""

    def clear(self) -> None:
        """Remove what is drawn for a moment."""


class NoView:
    """Shows nothing."""

    def show(self, event: ProgressEvent) -> None:
        """Nothing."""

    def clear(self) -> None:
        """Nothing is drawn."""


class PlainView:
    """One line for each step that has ended; layers that were known beforehand get none."""

    def __init__(self, stream: TextIO, paint: Paint) -> None:
        self.stream, self.paint = stream, paint

    def show(self, event: ProgressEvent) -> None:
        """Print the line of a step that has ended."""
        if event.status in ("started", "running", "phase"):
            return
        line = ending(event, self.paint)
        if line:
            print(line, file=self.stream, flush=True)

    def clear(self) -> None:
        """Nothing is drawn."""


class _Running(NamedTuple):
    event: ProgressEvent
    since: float
    first_bytes: int


class LiveView(PlainView):
    """Keeps what runs at the bottom of a terminal, redrawn in place, and leaves a line where a step has ended."""

    def __init__(self, stream: TextIO, paint: Paint) -> None:
        super().__init__(stream, paint)
        self._running: dict[str, _Running] = {}
        self._drawn, self._drawn_at = 0, 0.0

    def show(self, event: ProgressEvent) -> None:
        """Take one event; running steps are redrawn some ten times a second."""
        if event.status == "phase" or not short(event.step):
            return
        if event.status in ("started", "running"):
            self._note(event)
            if time.monotonic() - self._drawn_at < 1 / _REDRAWS_PER_S and event.status == "running":
                return
            self.clear()
        else:
            self._running.pop(event.step, None)
            self.clear()
            super().show(event)
        self._draw()

    def clear(self) -> None:
        """Remove the lines at the bottom."""
        if self._drawn:
            print(f"\x1b[{self._drawn}A\r\x1b[J", end="", file=self.stream, flush=True)
            self._drawn = 0

    def _note(self, event: ProgressEvent) -> None:
        known = self._running.get(event.step)
        if known is None:
            self._running[event.step] = _Running(event, time.monotonic(), event.current_bytes or 0)
        else:
            self._running[event.step] = known._replace(event=event)

    def _draw(self) -> None:
        width = max(20, shutil.get_terminal_size().columns - 1)
        lines = [self._line(one, width) for one in list(self._running.values())[-_MOST_LINES:]]
        print("".join(f"{line}\n" for line in lines), end="", file=self.stream, flush=True)
        self._drawn, self._drawn_at = len(lines), time.monotonic()

    def _line(self, one: _Running, width: int) -> str:
        name, more = f"  {short(one.event.step)}", self._amount(one)
        cut = name[: width - len(more) - 1] if len(name) + len(more) >= width else name
        return f"{cut} {self.paint(more, 'dim')}"[: width + 12]

    def _amount(self, one: _Running) -> str:
        event, took_s = one.event, time.monotonic() - one.since
        if not event.total_bytes or event.current_bytes is None:
            return event.detail[:60]
        speed = (event.current_bytes - one.first_bytes) / took_s if took_s > 0.2 else 0
        rate = f", {megabytes(speed)}/s" if speed > 0 else ""
        return f"{event.current_bytes / 1e6:.1f} of {megabytes(event.total_bytes)}{rate}"


class JsonView:
    """One JSON object for each event; docs/cli.md has the keys, all of which are always there."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def show(self, event: ProgressEvent) -> None:
        """Print an event."""
        seconds = None if event.duration_s is None else round(event.duration_s, 3)
        if event.status == "phase":
            self.tell("phase", phase=event.step, seconds=seconds)
            return
        self.tell(
            "step",
            phase=event.phase,
            step=event.step,
            status=event.status,
            detail=event.detail,
            current_bytes=event.current_bytes,
            total_bytes=event.total_bytes,
            seconds=seconds,
        )

    def tell(self, kind: str, **facts: object) -> None:
        """Print an object of some kind."""
        now = datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        text = json.dumps({"schema_version": SCHEMA_VERSION, "event": kind, "time": now, **facts})
        print(text, file=self._stream, flush=True)

    def clear(self) -> None:
        """Nothing is drawn."""


def view_of(kind: str, paint: Paint, *, is_live: bool) -> View:
    """The view for one of KINDS on this process's stderr; `auto` redraws where that `is_live`."""
    match kind:
        case "json":
            return JsonView(sys.stderr)
        case "none":
            return NoView()
    return LiveView(sys.stderr, paint) if is_live and kind == "auto" else PlainView(sys.stderr, paint)


def ending(event: ProgressEvent, paint: Paint) -> str:
    """The line of a step that has ended; "" for one that nobody wants to see."""
    step = short(event.step)
    is_known_layer = event.status == "cached" and event.phase == "layers" and event.total_bytes is not None
    if not step or is_known_layer:
        return ""
    if event.status == "skipped":
        return f"{paint('-', 'yellow')} {step}: not done: {event.detail}"
    marks = {"failed": ("x", "red"), "cached": ("=", "dim")}
    mark = paint(*marks.get(event.status, ("+", "green")))
    notes = []
    if event.detail in _BYTE_STATES:
        size = "" if event.total_bytes is None else f"{megabytes(event.total_bytes)} "
        notes.append(f"{size}{event.detail}")
    elif event.status == "cached":
        notes.append("cached")
    if event.duration_s is not None and event.status != "cached":
        notes.append(f"{event.duration_s:.1f} s")
        if event.detail == "pushed" and event.total_bytes and event.duration_s > 0.5:
            notes.append(f"{megabytes(event.total_bytes / event.duration_s)}/s")
    return f"{mark} {step}" + (f" ({', '.join(notes)})" if notes else "")


def short(step: str) -> str:
    """A build step's name as a person wants it: without mounts and on one line; "" for an Engine's inner workings."""
    if step.startswith("[internal]") or step == "copy /context /":
        return ""
    text = " ".join(re.sub(r"--mount=\S+", "", step).split())
    return text if len(text) <= _STEP_WIDTH else text[: _STEP_WIDTH - 3] + "..."


def megabytes(size: float) -> str:
    """`12.3 MB`, or `4 kB` for what is small."""
    return f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size / 1e3:.1f} kB"
