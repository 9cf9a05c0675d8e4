"""The host as a child process: started early, told later which app to run, stopped with its calls finished."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

STOP_S = 35.0  # the host drains for 25 s


@dataclass(frozen=True, slots=True)
class Listening:
    """Where and how the host of one `fnpack dev` runs."""

    port: int
    log_as_json: bool = False
    verbose: bool = False

    @property
    def arguments(self) -> list[str]:
        """As options of `python -m fnpack.dev.hosted`."""
        flags = ["--json"] * self.log_as_json + ["--verbose"] * self.verbose
        return ["--port", str(self.port), *flags]


class HostChild:
    """One process. Until `run` it only imports what it will need; it ends when this process is gone."""

    def __init__(self, listening: Listening, kinds: Sequence[str]) -> None:
        """`kinds` are the kinds of services whose libraries to import at once: `storage`, `bus`."""
        warm = [word for kind in kinds for word in ("--warm", kind)]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "fnpack.dev.hosted", *listening.arguments, *warm],
            stdin=subprocess.PIPE,  # closes when this process is gone, and the host ends
            stdout=sys.stderr.fileno(),  # what functions print is no data of ours
            start_new_session=True,  # a terminal's Ctrl-C is for us
        )

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    def run(self, root: Path, environment: Mapping[str, str], since: float) -> None:
        """Run the app at `root` with exactly this environment; `since` is when its start began (seconds since 1970)."""
        task = {"app": str(root), "environment": dict(environment), "since": since}
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # its exit code says what happened
            self._process.stdin.write(json.dumps(task).encode() + b"\n")
            self._process.stdin.flush()

    def wait(self, timeout_s: float) -> int | None:
        """Its exit code once it has ended, None if it still runs after that time."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(timeout_s)
        return None

    def stop(self) -> None:
        """End it: calls in flight are finished and settled first."""
        if self._process.poll() is None:
            self._process.terminate()
            if self.wait(STOP_S) is None:
                self._process.kill()
                self._process.wait()
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
