"""What user code prints and logs, as lines on the worker's stdout that carry the function and invocation id."""

from __future__ import annotations

import json
import logging
import sys
import threading
from collections.abc import Iterable
from contextvars import ContextVar
from datetime import datetime, timezone
from typing import TextIO

# (function name, invocation id) of the call that is running in this context.
current: ContextVar[tuple[str, str]] = ContextVar("fnpack_invocation", default=("", ""))
# A thread that user code starts has no such context; it may set `thread_storage.invocation_id` instead.
thread_storage = threading.local()


class LogLines:
    """Writes one line per message to `stream`, as text or as JSON objects."""

    def __init__(self, stream: TextIO, *, as_json: bool) -> None:
        self._stream, self._as_json, self._lock = stream, as_json, threading.Lock()

    def write(self, level: str, message: str) -> None:
        """Write `message`; a message of several lines stays one JSON object, and several lines of text."""
        function, invocation = current.get()
        invocation = invocation or str(getattr(thread_storage, "invocation_id", ""))
        now = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
        if self._as_json:
            facts = {
                "time": now,
                "level": level,
                "function": function,
                "invocation": invocation,
                "message": message,
            }
            text = json.dumps({key: value for key, value in facts.items() if value}) + "\n"
        else:
            tag = f"[{f'{function} {invocation[:8]}'.lstrip()}] " if invocation else ""
            text = "".join(f"{now} {level:<7} {tag}{line}\n" for line in message.splitlines() or [""])
        with self._lock:
            self._stream.write(text)
            self._stream.flush()


class PrintCapture:
    """Stands in for sys.stdout and sys.stderr: every completed line becomes a log line. One buffer per thread."""

    encoding = "utf-8"
    errors = "replace"

    def __init__(self, lines: LogLines, original: TextIO) -> None:
        self._lines, self._original, self._local = lines, original, threading.local()

    def write(self, text: str) -> int:
        """Take printed text; complete lines are written at once."""
        *complete, rest = (getattr(self._local, "rest", "") + text).split("\n")
        self._local.rest = rest
        for line in complete:
            self._lines.write("INFO", line)
        return len(text)

    def writelines(self, texts: Iterable[str]) -> None:
        """Take several pieces of printed text."""
        for text in texts:
            self.write(text)

    def flush(self) -> None:
        """Write an unfinished line, as a reader would otherwise wait for it."""
        if rest := getattr(self._local, "rest", ""):
            self._local.rest = ""
            self._lines.write("INFO", rest)

    def isatty(self) -> bool:
        """Never a terminal: libraries then print no progress bars."""
        return False

    def fileno(self) -> int:
        """The real file, for those who write to it directly."""
        return self._original.fileno()

    def writable(self) -> bool:
        """Always."""
        return True


class LogHandler(logging.Handler):
    """Sends `logging` records, with their traceback, to the same lines."""

    def __init__(self, lines: LogLines) -> None:
        super().__init__()
        self._lines = lines
        self.setFormatter(logging.Formatter("%(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        try:
            self._lines.write(record.levelname, self.format(record))
        except Exception:
            self.handleError(record)


def capture(*, as_json: bool, level: str) -> LogLines:
    """Send print and logging of this process to log lines on its stdout; user code changes nothing."""
    lines = LogLines(sys.stdout, as_json=as_json)
    sys.stdout, sys.stderr = PrintCapture(lines, sys.stdout), PrintCapture(lines, sys.stderr)
    logging.basicConfig(handlers=[LogHandler(lines)], level=level)
    return lines
