"""A headless Chromium, spoken to through a pipe (the DevTools protocol), that can reach this machine alone."""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import select
import shutil
import signal
import tempfile
import time
from pathlib import Path
from types import TracebackType

from services import UnavailableError

OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
    "--remote-debugging-pipe",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
    "--window-size=1200,1500",
)  # fmt: skip
TIMEOUT_S = 30.0


class Browser:
    """One browser with one tab. Everything that is asked of it waits at most TIMEOUT_S."""

    def __init__(self) -> None:
        program = shutil.which("chromium")
        if program is None:
            raise UnavailableError("chromium is not installed (Debian: chromium)")
        self._profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        their_in, self._out = os.pipe()
        self._in, their_out = os.pipe()
        command = [program, *OPTIONS, f"--user-data-dir={self._profile.name}"]
        null = os.open(os.devnull, os.O_RDWR)
        files = [fcntl.fcntl(one, fcntl.F_DUPFD, 10) for one in (null, null, null, their_in, their_out)]
        # Chromium reads its commands from file 3 and answers on file 4.
        actions = [(os.POSIX_SPAWN_DUP2, file, number) for number, file in enumerate(files)]
        self._pid = os.posix_spawn(program, command, os.environ, file_actions=actions)
        for file in (null, their_in, their_out, *files):
            os.close(file)
        self._buffer, self._last, self._session = b"", 0, ""
        self.requested: list[str] = []  # the addresses that the page has asked for
        self.said: list[str] = []  # errors on its console
        target = self._ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self._ask(f"{domain}.enable")

    def __enter__(self) -> Browser:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        os.close(self._in)
        os.close(self._out)
        self._profile.cleanup()

    def open(self, url: str) -> None:
        """Go to a page."""
        self.requested.clear()
        self.said.clear()
        self._ask("Page.navigate", url=url)

    def run(self, script: str):
        """The value of a JavaScript expression."""
        answer = self._ask("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait_for(self, script: str) -> None:
        """Wait until an expression is true; one that fails is not true yet."""
        deadline = time.monotonic() + TIMEOUT_S
        while not self.run(f"(() => {{ try {{ return Boolean({script}) }} catch {{ return false }} }})()"):
            assert time.monotonic() < deadline, f"never true: {script}\n{self.text()}\n{self.said}"
            time.sleep(0.05)

    def text(self) -> str:
        """What the page shows."""
        return str(self.run("document.body ? document.body.innerText : ''"))

    def screenshot(self, path: Path) -> None:
        """Keep a picture of the page."""
        path.write_bytes(base64.b64decode(self._ask("Page.captureScreenshot")["data"]))

    def _ask(self, method: str, **params):
        self._last += 1
        message = {"id": self._last, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + TIMEOUT_S
        while True:
            answer = self._receive(deadline)
            if answer.get("id") == self._last:
                assert "error" not in answer, answer["error"]
                return answer["result"]

    def _receive(self, deadline: float):
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._in], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, "chromium does not answer"
            piece = os.read(self._in, 1 << 16)
            assert piece, "chromium has ended"
            self._buffer += piece
        message, _, self._buffer = self._buffer.partition(b"\0")
        answer = json.loads(message)
        with contextlib.suppress(KeyError):
            if answer["method"] == "Network.requestWillBeSent":
                self.requested.append(answer["params"]["request"]["url"])
            if answer["method"] == "Log.entryAdded" and answer["params"]["entry"]["level"] == "error":
                self.said.append(answer["params"]["entry"]["text"])
            if answer["method"] == "Runtime.exceptionThrown":
                self.said.append(json.dumps(answer["params"]["exceptionDetails"]))
        return answer
