"""A service as a child process that says on its output at which ports it listens, and ends with whoever started it."""

from __future__ import annotations

import contextlib
import re
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import ClassVar, TypeVar

from fnpack.dev.errors import ServiceStartError

START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 10.0
_POLL_S = 0.02
Self = TypeVar("Self", bound="Service")


class Service:
    """One service; a context manager, or `start` and `close`.

    The child gets a pipe as its standard input that closes when this process is gone, whatever ended it; a program
    that does not look there needs another leash.
    """

    name: ClassVar[str]
    listening: ClassVar[re.Pattern[str]]
    listeners: ClassVar[int]

    def __init__(self, location: Path | None = None, ports: Sequence[int] = ()) -> None:
        """`location` keeps the data over restarts; without it they live as long as the object. `ports`: none is any."""
        self.location = location
        self.ports = list(ports)
        self._process: subprocess.Popen[bytes] | None = None
        self._work = tempfile.TemporaryDirectory(prefix=f"fnpack-{self.name}-")

    @property
    def work(self) -> Path:
        """A directory for what the service writes, gone after `close`."""
        return Path(self._work.name)

    @property
    def is_running(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.poll() is None

    def command(self) -> list[str]:
        """The program and its options; ports that were assigned once are asked for again."""
        raise NotImplementedError

    def start(self) -> None:
        """Start the service and wait until it listens. Raises ServiceStartError."""
        self.spawn()
        self.wait()

    def spawn(self) -> None:
        """Start the process; `wait` has to follow."""
        with self._log.open("wb") as output:
            # its own session: a terminal's Ctrl-C is for us, and we stop the service when nothing needs it any more
            self._process = subprocess.Popen(
                self.command(),
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.work,
                start_new_session=True,
            )

    def wait(self) -> None:
        """Wait until the service says its ports. Raises ServiceStartError, with the process gone."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            found = self.listening.findall(self.output())
            if len(found) == self.listeners:
                self.ports = [int(port) for port in found]
                return
            if not self.is_running:
                break
            time.sleep(_POLL_S)
        self.stop()
        raise ServiceStartError(f"{self.name} did not start:\n{self.output()[-2000:].strip()}")

    def output(self) -> str:
        """What the service has said."""
        return self._log.read_text("utf-8", "replace")

    def stop(self) -> None:
        """Stop the process, politely first; data under `location` stay."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdin is not None:
            with contextlib.suppress(OSError):
                process.stdin.close()

    def restart(self) -> None:
        """Stop and start again at the same ports."""
        self.stop()
        self.start()

    def close(self) -> None:
        """Stop the process and remove what it wrote outside `location`."""
        self.stop()
        self._work.cleanup()

    def __enter__(self: Self) -> Self:
        """Start, and clean up if that fails."""
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave no process and no file."""
        self.close()

    @property
    def _log(self) -> Path:
        return self.work / "log"
