"""The command line's only way to speak: data on stdout, everything else on stderr, progress on a terminal."""

from __future__ import annotations

import json
import os
import re
import sys
import time
import traceback
from collections.abc import Mapping

from fnpack.progress import ProgressEvent
from fnpack_triggers.errors import FnpackError

SCHEMA_VERSION = 1
_COLOURS = {"green": "32", "red": "31", "yellow": "33", "dim": "2", "bold": "1"}
_ERASE_LINE = "\r\x1b[K"
_STEP_WIDTH = 90


class Terminal:
    """Writes a command's output. With `as_json`, one object on stdout and plain progress lines on stderr."""

    def __init__(self, *, as_json: bool = False, debug: bool = False) -> None:
        self.as_json, self.debug = as_json, debug
        self._live = sys.stderr.isatty() and not as_json and os.environ.get("TERM") != "dumb"
        self._coloured = sys.stderr.isatty() and not os.environ.get("NO_COLOR")
        self._open_line = False
        self._since = time.monotonic()

    @property
    def elapsed_s(self) -> float:
        """Seconds since the command began."""
        return time.monotonic() - self._since

    def data(self, text: str) -> None:
        """The command's result, alone on stdout; nothing in JSON mode, where `result` gives it."""
        if not self.as_json:
            print(text)

    def result(self, facts: Mapping[str, object]) -> None:
        """The command's result as an object; printed in JSON mode only."""
        if self.as_json:
            print(json.dumps({"schema_version": SCHEMA_VERSION, **facts}))

    def say(self, text: str = "", *, style: str = "") -> None:
        """A line for a person."""
        self._end_open_line()
        print(self._paint(text, style), file=sys.stderr)

    def warn(self, text: str) -> None:
        """A line that says what may surprise."""
        self.say(f"Note: {text}", style="yellow")

    def progress(self, event: ProgressEvent) -> None:
        """Show a step: redrawn in place on a terminal, one line when it ends elsewhere."""
        step = _short(event.step)
        if not step:
            return
        if event.status in ("started", "running"):
            if self._live:
                self._end_open_line()
                print(f"  {step} {self._paint(_amount(event), 'dim')}", end="", file=sys.stderr, flush=True)
                self._open_line = True
            return
        self._end_open_line()
        marks = {"failed": self._paint("x", "red"), "cached": self._paint("=", "dim")}
        took = f" ({event.duration_s:.1f} s)" if event.duration_s is not None else ""
        after = " (cached)" if event.status == "cached" else took
        print(
            f"{marks.get(event.status, self._paint('+', 'green'))} {step}{after}", file=sys.stderr, flush=True
        )

    def fail(self, error: FnpackError) -> None:
        """An expected failure: what, why, what to do. A stack trace only with --debug."""
        self._end_open_line()
        if self.debug:
            traceback.print_exception(error)
        if self.as_json:
            facts = {"code": error.code, "message": str(error), "hint": error.hint}
            print(json.dumps({"schema_version": SCHEMA_VERSION, "error": facts}))
            return
        print(f"{self._paint(f'Error {error.code}:', 'red')} {_listed(error)}", file=sys.stderr)
        if error.hint:
            print(f"{self._paint('Hint:', 'bold')} {error.hint}", file=sys.stderr)

    def _end_open_line(self) -> None:
        if self._open_line:
            print(_ERASE_LINE, end="", file=sys.stderr)
            self._open_line = False

    def _paint(self, text: str, style: str) -> str:
        return f"\x1b[{_COLOURS[style]}m{text}\x1b[0m" if style and self._coloured else text


def _listed(error: FnpackError) -> str:
    """The error's text; several problems are counted and each gets a mark of its own."""
    problems = getattr(error, "problems", ())
    if len(problems) < 2:
        return str(error)
    return "\n".join([f"{len(problems)} problems", *(f"  - {problem}" for problem in problems)])


def _short(step: str) -> str:
    """A build step's name as a person wants it: without mounts and on one line; "" for an Engine's inner workings."""
    if step.startswith("[internal]") or step == "copy /context /":
        return ""
    text = " ".join(re.sub(r"--mount=\S+", "", step).split())
    return text if len(text) <= _STEP_WIDTH else text[: _STEP_WIDTH - 3] + "..."


def _amount(event: ProgressEvent) -> str:
    if event.total_bytes and event.current_bytes is not None:
        return f"{event.current_bytes / 1e6:.1f} of {event.total_bytes / 1e6:.1f} MB"
    return event.detail[:100]
