"""Small scoring apps, written by the real packager, and the real host process running them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import textwrap
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from email.message import Message
from pathlib import Path

import pytest

from fnpack.app.directory import write_app
from fnpack.spec import AppSpec, Environment, HttpTrigger, ModelSource, Output, Trigger

WriteApp = Callable[..., Path]
READY = re.compile(r"is ready on (http://\S+)")


@pytest.fixture
def scoring_app(tmp_path: Path) -> WriteApp:
    """Writes an app from a script's text: `scoring_app(script, triggers=..., models=..., variables=...)`."""

    def write(
        script: str,
        *,
        triggers: Sequence[Trigger] = (HttpTrigger("anonymous"),),
        models: Sequence[ModelSource] = (),
        variables: Mapping[str, str] | None = None,
        outputs: Sequence[Output] = (),
        name: str = "app",
    ) -> Path:
        source = tmp_path / f"{name}-source" / "score.py"
        source.parent.mkdir(exist_ok=True)
        source.write_text(script, "utf-8")
        environment = Environment(variables=variables or {})
        spec = AppSpec(source, None, tuple(models), tuple(triggers), environment, tuple(outputs))
        return write_app(spec, tmp_path / name, lock_text="").path

    return write


@pytest.fixture
def app_of(tmp_path: Path) -> WriteApp:
    """Writes a function app from its files: `app_of({"f/function.json": "...", "f/__init__.py": "..."})`."""

    def write(files: Mapping[str, str], name: str = "functions") -> Path:
        return write_app_files(tmp_path / name, files)

    return write


def write_app_files(root: Path, files: Mapping[str, str]) -> Path:
    """Write a function app's files below `root`, and a host.json if there is none."""
    for path, text in {"host.json": '{"version": "2.0"}', **files}.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(textwrap.dedent(text).lstrip("\n"), "utf-8")
    return root


@dataclass
class HostProcess:
    """A host started as users start it; its log is in a file, so that no pipe ever fills up."""

    process: subprocess.Popen[bytes]
    log_file: Path
    url: str = ""
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def log(self) -> str:
        """All that the host and its workers have said."""
        return self.log_file.read_text("utf-8", "replace")

    def wait_ready(self, timeout_s: float = 20) -> None:
        """Wait until it says that it is ready."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if found := READY.search(self.log):
                self.url = found[1]
                return
            assert self.process.poll() is None, f"the host ended:\n{self.log}"
            time.sleep(0.02)
        raise AssertionError(f"the host was not ready in {timeout_s} s:\n{self.log}")

    def wait_log(self, text: str, timeout_s: float = 20) -> None:
        """Wait until the log has `text`."""
        deadline = time.monotonic() + timeout_s
        while text not in self.log:
            assert time.monotonic() < deadline, f"no `{text}` in:\n{self.log}"
            time.sleep(0.02)

    def call(
        self,
        path: str,
        body: bytes | None = b"",
        *,
        method: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, bytes, Message]:
        """One request; returns status, body, headers."""
        request = urllib.request.Request(
            self.url + path, data=body, method=method, headers=dict(headers or {})
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return response.status, response.read(), response.headers
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read(), error.headers

    def score(self, value: object) -> tuple[int, object]:
        """POST JSON to the `score` function; returns status and parsed body."""
        status, body, _ = self.call("/api/score", json.dumps(value).encode())
        return status, json.loads(body) if body else None

    def stop(self, timeout_s: float = 30) -> int:
        """SIGTERM; returns the exit code."""
        self.process.terminate()
        return self.process.wait(timeout_s)


def launch(
    app: Path,
    log_file: Path,
    *arguments: str,
    settings: Mapping[str, str] | None = None,
    module: bool = False,
) -> HostProcess:
    """Start `fnpack run` (or with `module` an image's entry) on an app, on any free port."""
    command = ["fnpack_host", str(app)] if module else ["fnpack", "run", str(app)]
    with log_file.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", *command, "--port", "0", "--address", "127.0.0.1", *arguments],
            stdout=log,
            stderr=log,
            env={**os.environ, **(settings or {})},
        )
    return HostProcess(process, log_file)


@pytest.fixture(scope="module")
def host_of(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., HostProcess]]:
    """Runs an app from its files (see `app_of`) for all tests of a module: `host_of(files, settings={...})`."""
    running: list[HostProcess] = []

    def start(
        files: Mapping[str, str], settings: Mapping[str, str] | None = None, arguments: Sequence[str] = ()
    ) -> HostProcess:
        app = write_app_files(tmp_path_factory.mktemp("host") / "app", files)
        host = launch(app, app.parent / "host.log", *arguments, settings=settings)
        running.append(host)
        host.wait_ready()
        return host

    yield start
    for host in running:
        host.process.kill()
        host.process.wait()


@pytest.fixture
def start_host(tmp_path: Path) -> Iterator[Callable[..., HostProcess]]:
    """Starts `fnpack run` (or `module=True`: an image's entry) on an app; ends what is left at the end of the test."""
    running: list[HostProcess] = []

    def start(
        app: Path,
        *arguments: str,
        settings: Mapping[str, str] | None = None,
        module: bool = False,
        ready: bool = True,
    ) -> HostProcess:
        log_file = tmp_path / f"host-{len(running)}.log"
        host = launch(app, log_file, *arguments, settings=settings, module=module)
        running.append(host)
        if ready:
            host.wait_ready()
        return host

    yield start
    for host in running:
        if host.process.poll() is None:
            host.process.kill()
        host.process.wait()
