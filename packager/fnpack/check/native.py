"""Runs a check in a child process of this machine, with nothing of this process's environment."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fnpack.check.remembered import CHILD
from fnpack.check.report import CheckTooSlow, Report, last_lines, read_report

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_OWN_NAMES = ("HOME", "PATH", "TMPDIR")
_OWN_PREFIXES = ("LD_", "PYTHON", "DYLD_")
_SECOND_CHANCE_S = 5.0


class Cancelled(Exception):  # noqa: N818 - says what happened
    """The build ended otherwise, so nobody wants to know any more."""


@dataclass(frozen=True, slots=True)
class Sample:
    """The input of `run()`, as the app's first trigger would bring it: `trigger` is http or another kind."""

    data: bytes = field(repr=False)
    trigger: str = "http"
    content_type: str = "application/json"

    def facts(self) -> dict[str, object]:
        """How the child has to give it to the script."""
        url = "http://localhost/api/score"
        return {
            "size": len(self.data),
            "trigger": self.trigger,
            "content_type": self.content_type,
            "url": url,
        }


@dataclass(frozen=True, slots=True)
class Ended:
    """How a child ended."""

    report: Report
    output: str = field(repr=False)
    exit_code: int = 0


def child_environment(image: Mapping[str, str], scratch: Path, path: str = "") -> dict[str, str]:
    """The variables of the image, with a home of its own; none of this process's."""
    kept = {
        name: value
        for name, value in image.items()
        if name not in _OWN_NAMES and not name.startswith(_OWN_PREFIXES)
    }
    folders = os.pathsep.join(part for part in (path, _PATH) if part)
    return {"LANG": "C.UTF-8", **kept, "HOME": str(scratch), "TMPDIR": str(scratch), "PATH": folders}


class Child:
    """One child process. `run` waits for it, `cancel` ends it from another thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._is_cancelled = False

    def cancel(self) -> None:
        """End the process, and let `run` raise Cancelled."""
        with self._lock:
            self._is_cancelled = True
            if self._process is not None:
                _end(self._process)

    def run(
        self,
        python: str,
        facts: Mapping[str, object],
        sample: Sample | None,
        environment: Mapping[str, str],
        timeout_s: float,
    ) -> Ended:
        """Run the check to its end. Raises CheckTooSlow, Cancelled, OSError."""
        told = {**facts, "is_watched": True, "sample": sample.facts() if sample else None}
        with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
            with self._lock:
                if self._is_cancelled:
                    raise Cancelled
                process = self._process = subprocess.Popen(
                    [python, "-I", "-S", str(CHILD)],
                    stdin=subprocess.PIPE,
                    stdout=stdout,
                    stderr=stderr,
                    env=dict(environment),
                    cwd=environment["HOME"],
                    start_new_session=True,
                )
            code, stdin = None, process.stdin
            assert stdin is not None
            try:
                with contextlib.suppress(BrokenPipeError):
                    stdin.write(json.dumps(told).encode() + b"\n" + (sample.data if sample else b""))
                    stdin.flush()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    code = process.wait(timeout_s)
            finally:
                with self._lock:
                    _end(process)
                    self._process = None
                with contextlib.suppress(OSError):
                    stdin.close()
            if self._is_cancelled:
                raise Cancelled
            stdout.seek(0)
            stderr.seek(0)
            report = read_report(stdout.read().decode("utf-8", "replace"))
            output = stderr.read().decode("utf-8", "replace")
        if code is None:
            raise CheckTooSlow(report.step, timeout_s, last_lines(output))
        return Ended(report, output, code)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the process with all that it has started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_SECOND_CHANCE_S)
