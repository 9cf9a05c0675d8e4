"""`fnpack dev` as a person runs it, in a folder of its own, with the Node and the Azurite of this checkout."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from fnpack.dev.azurite_install import PROGRAM, pinned_version
from setup import AZURITE, NODE, TOOLS

READY = re.compile(r"ready (?:on (http://\S+) )?in ")
START_S, STOP_S = 60, 40


@dataclass
class DevHome:
    """A folder to work in, and the environment that goes with it: a cache that has Azurite, a mark on each process."""

    folder: Path
    home: Path
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)
    settings: Mapping[str, str] = field(default_factory=dict)

    def environment(self) -> dict[str, str]:
        """What a child process sees: nothing of the caller's settings."""
        own = {
            name: value for name, value in os.environ.items() if not name.startswith(("FNPACK_", "AZURITE_"))
        }
        place = {"HOME": str(self.home), "XDG_CACHE_HOME": str(self.home), "DOCKER_CONFIG": str(self.home)}
        path = f"{TOOLS}{os.pathsep}{os.environ['PATH']}"
        return {**own, **place, "PATH": path, "FNPACK_TEST_MARK": self.mark, **self.settings}

    def __call__(self, *arguments: str, timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
        """A command of fnpack, run to its end."""
        return subprocess.run(
            [sys.executable, "-m", "fnpack", *arguments],
            cwd=self.folder,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout_s,
        )

    def out(self, *arguments: str) -> str:
        """What a command says on stdout; it has to succeed."""
        done = self(*arguments)
        assert done.returncode == 0, f"{arguments}: {done.stderr}"
        return done.stdout

    def processes(self) -> list[int]:
        """The processes that carry the mark."""

        def has(folder: Path) -> bool:
            try:
                return self.mark.encode() in (folder / "environ").read_bytes()
            except OSError:  # it has just ended
                return False

        return [int(one.name) for one in Path("/proc").glob("[0-9]*") if has(one)]


@dataclass
class Dev:
    """A `fnpack dev` that runs."""

    process: subprocess.Popen[bytes]
    log_file: Path
    out_file: Path

    @property
    def log(self) -> str:
        """All that it, the host and the functions have said."""
        return self.log_file.read_text("utf-8", "replace")

    @property
    def out(self) -> str:
        """Its stdout."""
        return self.out_file.read_text("utf-8", "replace")

    @property
    def url(self) -> str:
        """Where the host answers."""
        return [one for one in READY.findall(self.log) if one][-1]

    def wait(self, text: str, count: int = 1, timeout_s: float = START_S) -> None:
        """Wait until the log has `text` so many times."""
        deadline = time.monotonic() + timeout_s
        while self.log.count(text) < count:
            assert self.process.poll() is None, f"it ended:\n{self.log}"
            assert time.monotonic() < deadline, f"no `{text}` in:\n{self.log}"
            time.sleep(0.05)

    def wait_ready(self, count: int = 1) -> None:
        """Wait until it has said so many times that it is ready."""
        deadline = time.monotonic() + START_S
        while len(READY.findall(self.log)) < count:
            assert self.process.poll() is None, f"it ended:\n{self.log}"
            assert time.monotonic() < deadline, f"it was not ready {count} times:\n{self.log}"
            time.sleep(0.05)

    def get(self, path: str) -> str:
        """The body of an answer."""
        with urllib.request.urlopen(self.url + path, timeout=30) as response:
            body: bytes = response.read()
        return body.decode()

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        """End it with a signal; its exit code."""
        self.process.send_signal(number)
        return self.process.wait(STOP_S)


@pytest.fixture(scope="session")
def home_of() -> Callable[[Path], DevHome]:
    """`home_of(tmp_path)`: a folder to work in and a cache that has Azurite."""
    return make_home


@pytest.fixture(scope="session")
def develop() -> Callable[..., AbstractContextManager[Dev]]:
    """`with develop(home, *arguments) as dev`: a `fnpack dev` that is ready, and is gone afterwards."""
    return developing


@contextmanager
def developing(home: DevHome, *arguments: str, ready: bool = True) -> Iterator[Dev]:
    """Runs `fnpack dev`; services and host get any free ports."""
    number = len(list(home.home.glob("dev-*.log")))
    log_file, out_file = home.home / f"dev-{number}.log", home.home / f"dev-{number}.out"
    ports = ["--storage-port", "0", "--servicebus-port", "0"]
    ports += [] if "--services-only" in arguments else ["--port", "0"]
    with log_file.open("wb") as log, out_file.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "fnpack", "dev", *ports, *arguments],
            cwd=home.folder,
            env=home.environment(),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=log,
        )
    dev = Dev(process, log_file, out_file)
    try:
        if ready:
            dev.wait_ready()
        yield dev
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def make_home(root: Path) -> DevHome:
    """A new home below `root`; the test is skipped where this checkout has no Azurite."""
    if not (NODE.exists() and (AZURITE / PROGRAM).exists()):
        reason = "Azurite is not installed here; `make setup` installs it"
        if os.environ.get("CI"):
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    home = DevHome(root / "work", root / "home")
    home.folder.mkdir()
    cache = home.home / "fnpack" / "azurite"
    cache.mkdir(parents=True)
    (cache / pinned_version()).symlink_to(AZURITE)
    return home
