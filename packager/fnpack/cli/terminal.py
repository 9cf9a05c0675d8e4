"""The command line's only way to speak: data on stdout, everything else on stderr, progress on a terminal."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping

from fnpack.cli.progress_view import JsonView, view_of
from fnpack.progress import ProgressEvent
from fnpack_triggers.errors import FnpackError

SCHEMA_VERSION = 1
_COLOURS = {"green": "32", "red": "31", "yellow": "33", "dim": "2", "bold": "1"}


class Terminal:
    """Writes a command's output. With `as_json`, one object on stdout and plain progress lines on stderr.

    `progress` is one of progress_view.KINDS; with `json` everything on stderr is a JSON object.
    """

    def __init__(self, *, as_json: bool = False, debug: bool = False, progress: str = "auto") -> None:
        self.as_json, self.debug = as_json, debug
        is_live = sys.stderr.isatty() and not as_json and os.environ.get("TERM") != "dumb"
        self._coloured = sys.stderr.isatty() and not os.environ.get("NO_COLOR") and progress != "json"
        self._view = view_of(progress, self._paint, is_live=is_live)
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
        if isinstance(self._view, JsonView):
            self._view.tell("text", text=text)
            return
        self._view.clear()
        print(self._paint(text, style), file=sys.stderr)

    def warn(self, text: str) -> None:
        """A line that says what may surprise."""
        self.say(f"Note: {text}", style="yellow")

    def progress(self, event: ProgressEvent) -> None:
        """Show what happened to a step."""
        self._view.show(event)

    def summary(self, text: str, facts: Mapping[str, object]) -> None:
        """How a command ended well: a line for a person, or `facts` for a program that reads progress."""
        if isinstance(self._view, JsonView):
            self._view.tell("summary", **facts)
        else:
            self.say(text, style="dim")

    def close(self) -> None:
        """Leave nothing half-drawn behind."""
        self._view.clear()

    def fail(self, error: FnpackError) -> None:
        """An expected failure: what, why, what to do. A stack trace only with --debug."""
        self._view.clear()
        if self.debug:
            import traceback

            traceback.print_exception(error)
        facts = {"code": error.code, "message": str(error), "hint": error.hint}
        if isinstance(self._view, JsonView):
            self._view.tell("error", **facts)
        if self.as_json:
            print(json.dumps({"schema_version": SCHEMA_VERSION, "error": facts}))
        if self.as_json or isinstance(self._view, JsonView):
            return
        print(f"{self._paint(f'Error {error.code}:', 'red')} {_listed(error)}", file=sys.stderr)
        if error.hint:
            print(f"{self._paint('Hint:', 'bold')} {error.hint}", file=sys.stderr)

    def _paint(self, text: str, style: str) -> str:
        return f"\x1b[{_COLOURS[style]}m{text}\x1b[0m" if style and self._coloured else text


def _listed(error: FnpackError) -> str:
    """The error's text; several problems are counted and each gets a mark of its own."""
    problems = getattr(error, "problems", ())
    if len(problems) < 2:
        return str(error)
    return "\n".join([f"{len(problems)} problems", *(f"  - {problem}" for problem in problems)])
