"""The host's own log lines, on stderr: text for people, JSON objects for machines. Levels as host.json names them."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import Mapping
from contextlib import nullcontext
from datetime import datetime, timezone
from functools import lru_cache
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from fnpack_host.app.host_json import HostJson

    _TextHandler = logging.StreamHandler[TextIO]
else:
    _TextHandler = logging.StreamHandler  # generic from Python 3.11 on

NOISY = ("azure", "uvicorn", "asyncio", "aiohttp", "uamqp")
LEVELS = {
    "trace": 5,
    "debug": logging.DEBUG,
    "information": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
    "none": logging.CRITICAL + 10,
}
# Which category of Azure's host a logger of ours belongs to; those below it follow it.
CATEGORIES = {"fnpack": "Host", "fnpack.host": "Host", "fnpack.triggers": "Host.Triggers"}
INVOCATIONS = (
    "fnpack.host.invocation"  # one line per call; the first argument of a record is the function's name
)


class TextFormatter(logging.Formatter):
    """`2026-11-21T06:47:01.123Z INFO    message`."""

    def format(self, record: logging.LogRecord) -> str:
        """Format one record."""
        return f"{_time(record)} {record.levelname:<7} {super().format(record)}"


class JsonFormatter(logging.Formatter):
    """One JSON object per record."""

    def format(self, record: logging.LogRecord) -> str:
        """Format one record."""
        facts = {
            "time": _time(record),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            facts["exception"] = self.formatException(record.exc_info)
        return json.dumps(facts)


class LineHandler(_TextHandler):
    """Writes the lines of one turn of the event loop together: under load a system call for each would be a third of
    what a call costs. Warnings and errors, and lines from outside the loop, are written at once.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._waiting: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, or keep it for the end of this turn. Called with the handler's lock held."""
        try:
            self._waiting.append(self.format(record) + "\n")
            loop = asyncio._get_running_loop() if record.levelno < logging.WARNING else None
            if loop is None:
                self.flush()
            elif len(self._waiting) == 1:
                loop.call_soon(self.flush)
        except Exception:
            self.handleError(record)

    def flush(self) -> None:
        """Write what waits."""
        with self.lock or nullcontext():
            lines, self._waiting = self._waiting, []
            if lines:
                self.stream.write("".join(lines))
                super().flush()


def configure(*, as_json: bool, verbose: bool, formatter: logging.Formatter | None = None) -> None:
    """Send the host's log to stderr at INFO (DEBUG when `verbose`); libraries speak from WARNING on.

    `formatter` writes the lines in place of the usual ones.
    """
    # What no formatter here shows is not looked up for each record.
    logging._srcfile = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    handler = LineHandler(sys.stderr)
    handler.setFormatter(formatter or (JsonFormatter() if as_json else TextFormatter()))
    logging.basicConfig(handlers=[handler], level=logging.DEBUG if verbose else logging.INFO, force=True)
    for name in NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)
    # Strangers who send what is no HTTP are not worth a line each.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    # One line per request of the storage SDK's retries would drown our own line on a lost service.
    logging.getLogger("azure.core").setLevel(logging.ERROR)


class LogLevels:
    """host.json `logging.logLevel`: a level by category; the longest category that a name begins with counts."""

    def __init__(self, levels: Mapping[str, str], default: int = logging.INFO) -> None:
        self._levels = {name.lower(): LEVELS[level.lower()] for name, level in levels.items()}
        self._default = self._levels.get("default", default)

    def of(self, category: str) -> int:
        """The level from which a category is logged."""
        folded = category.lower()
        matching = [name for name in self._levels if folded == name or folded.startswith(f"{name}.")]
        return self._levels[max(matching, key=len)] if matching else self._default

    @property
    def worker_level(self) -> str:
        """The level of what functions log, as Python names it."""
        level = self.of("Function")
        return logging.getLevelName(max(logging.DEBUG, min(level, logging.CRITICAL)))

    def apply(self) -> None:
        """Set the levels of this process's loggers."""
        for logger, category in CATEGORIES.items():
            logging.getLogger(logger).setLevel(self.of(category))
        invocations = logging.getLogger(INVOCATIONS)
        rules = [level for name, level in self._levels.items() if name.startswith("function")]
        lowest = min([*rules, self.of("Function")])
        results = self._levels.get("host.results", 0)
        invocations.setLevel(max(lowest, results))
        invocations.filters[:] = [self._wants] if len(set(rules)) > 1 or lowest != self.of("Function") else []

    def _wants(self, record: logging.LogRecord) -> bool:
        name = record.args[0] if isinstance(record.args, tuple) and record.args else ""
        return record.levelno >= self.of(f"Function.{name}")


def levels_of(host_json: HostJson, *, verbose: bool = False) -> LogLevels:
    """The levels that host.json asks for; `verbose` shows debug lines where it asks for nothing."""
    default = logging.DEBUG if verbose else logging.INFO
    return LogLevels(host_json.texts("logging.logLevel"), default)


def _time(record: logging.LogRecord) -> str:
    return f"{_second(int(record.created))}.{int(record.msecs):03}Z"


@lru_cache(2)
def _second(timestamp_s: int) -> str:
    return datetime.fromtimestamp(timestamp_s, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")
