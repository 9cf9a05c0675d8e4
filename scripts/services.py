"""Starts what tests and the demo talk to, an Azurite and an image registry, and never leaves one behind.

`services.py -- COMMAND` runs a command with their addresses in its environment, so that all of pytest's processes share
them; `Azurite` and `Registry` start private ones. Both pick free loopback ports themselves.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType, TracebackType
from typing import ClassVar, TypeVar

from setup import AZURITE, NODE

ACCOUNT = "devstoreaccount1"
# Azurite's published account key: every installation has it, it protects nothing
ACCOUNT_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 10.0
Self = TypeVar("Self", bound="Service")


class UnavailableError(Exception):
    """A service cannot run on this machine; the text is the reason and what to do."""


class Service:
    """A child process that says on its output at which ports it listens; a context manager, or `start` and `close`."""

    name: ClassVar[str]
    listening: ClassVar[re.Pattern[str]]
    listeners: ClassVar[int]

    def __init__(self, location: Path | None = None) -> None:
        """`location` keeps the data over restarts; without it they live as long as the object."""
        self.location = location
        self.ports: list[int] = []
        self._process: subprocess.Popen[bytes] | None = None
        self._work = tempfile.TemporaryDirectory(prefix=f"fnpack-{self.name}-")

    @property
    def work(self) -> Path:
        """A directory for what the service writes, gone after `close`."""
        return Path(self._work.name)

    def command(self) -> list[str]:
        """The program and its options; ports that were assigned once are asked for again."""
        raise NotImplementedError

    def start(self) -> None:
        """Start the service and wait until it listens."""
        log = self.work / "log"
        with log.open("wb") as output:
            # its own session: Ctrl-C stops the tests first, then we stop the service
            self._process = subprocess.Popen(
                [*die_with_parent(), *self.command()],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.work,
                start_new_session=True,
            )
        self.ports = self._wait_for_ports(log, self._process)

    def _wait_for_ports(self, log: Path, process: subprocess.Popen[bytes]) -> list[int]:
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            text = log.read_text(errors="replace")
            found = self.listening.findall(text)
            if len(found) == self.listeners:
                return [int(port) for port in found]
            if process.poll() is not None:
                break
            time.sleep(0.02)
        self.stop()
        raise RuntimeError(f"{self.name} did not start:\n{log.read_text(errors='replace')[-2000:]}")

    def stop(self) -> None:
        """Stop the process, politely first; data under `location` stay."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

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


class Azurite(Service):
    """A storage account with blobs, queues and tables; in memory unless it has a location."""

    name = "azurite"
    listening = re.compile(r"successfully listening at http://127\.0\.0\.1:(\d+)")
    listeners = 3

    def command(self) -> list[str]:  # noqa: D102
        program = AZURITE / "node_modules" / "azurite" / "dist" / "src" / "azurite.js"
        if not (NODE.exists() and program.exists()):
            raise UnavailableError(
                "Azurite is not installed here; `make setup` installs it and says why it cannot"
            )
        data = ["--location", str(self.location)] if self.location else ["--inMemoryPersistence"]
        ports = self.ports or [0, 0, 0]
        kinds = [
            word
            for kind, port in zip(("blob", "queue", "table"), ports, strict=True)
            for word in (f"--{kind}Host", "127.0.0.1", f"--{kind}Port", str(port))
        ]
        return [
            str(NODE),
            str(program),
            "--silent",
            "--skipApiVersionCheck",
            "--disableTelemetry",
            *data,
            *kinds,
        ]

    @property
    def connection_string(self) -> str:
        """What goes into `AzureWebJobsStorage` or a trigger's connection setting."""
        return (
            f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={ACCOUNT_KEY};"
            f"BlobEndpoint={self.blob_endpoint};QueueEndpoint={self.queue_endpoint};"
            f"TableEndpoint={self.table_endpoint};"
        )

    @property
    def blob_endpoint(self) -> str:
        """The blob service's address, without a slash at its end."""
        return self._endpoint(0)

    @property
    def queue_endpoint(self) -> str:
        """The queue service's address."""
        return self._endpoint(1)

    @property
    def table_endpoint(self) -> str:
        """The table service's address."""
        return self._endpoint(2)

    def _endpoint(self, index: int) -> str:
        return f"http://127.0.0.1:{self.ports[index]}/{ACCOUNT}"


class Registry(Service):
    """An image registry on the loopback, which Docker reaches without TLS unless it is given a certificate."""

    name = "registry"
    listening = re.compile(r"listening on 127\.0\.0\.1:(\d+)")
    listeners = 1

    def __init__(
        self,
        location: Path | None = None,
        *,
        auth: str = "",
        certificate: tuple[Path, Path] | None = None,
        port: int | None = None,
    ) -> None:
        """`auth` is the section of that name in the registry's configuration, `certificate` a chain and its key."""
        super().__init__(location)
        self.ports = [port] if port else []
        self.auth, self.certificate = auth, certificate

    def command(self) -> list[str]:  # noqa: D102
        program = shutil.which("docker-registry") or shutil.which("registry")
        if program is None:
            raise UnavailableError(
                "there is no `docker-registry` here; Debian and Ubuntu: apt-get install docker-registry"
            )
        configuration = self.work / "config.yml"
        data = self.location or self.work / "data"
        tls = ""
        if self.certificate:
            tls = f", tls: {{certificate: {self.certificate[0]}, key: {self.certificate[1]}}}"
        configuration.write_text(
            "version: 0.1\n"
            "log: {level: info, accesslog: {disabled: true}}\n"
            f"storage: {{filesystem: {{rootdirectory: {data}}}, delete: {{enabled: true}}}}\n"
            f'http: {{addr: "127.0.0.1:{self.ports[0] if self.ports else 0}", secret: loopback{tls}}}\n'
            + (f"auth: {self.auth}\n" if self.auth else "")
        )
        return [program, "serve", str(configuration)]

    @property
    def address(self) -> str:
        """`host:port`, the first part of an image reference."""
        return f"127.0.0.1:{self.ports[0]}"


def die_with_parent() -> list[str]:
    """What to put before a command so that a SIGKILL of this process stops it too, where the machine can do that."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "TERM"] if setpriv else []


# --- running a command beside the services ---------------------------------------------------------------------------


def main() -> int:
    """Run the command after `--` and return its exit code; what cannot run is left for the tests to skip or to fail."""
    command = sys.argv[2:]
    if sys.argv[1:2] != ["--"] or not command:
        sys.exit("usage: services.py -- COMMAND [ARGUMENT ...]")
    with contextlib.ExitStack() as stack:
        environment = dict(os.environ)
        try:
            environment.update(started(stack))
            return run(command, environment)
        except KeyboardInterrupt:
            return 130


def started(stack: contextlib.ExitStack) -> dict[str, str]:
    """Start the services that the environment does not name yet, and say where they are."""
    found: dict[str, str] = {}
    with unavailable_is_reported():
        if "AZURITE_CONNECTION_STRING" not in os.environ:
            found["AZURITE_CONNECTION_STRING"] = stack.enter_context(Azurite()).connection_string
    with unavailable_is_reported():
        if "FNPACK_TEST_REGISTRY" not in os.environ:
            found["FNPACK_TEST_REGISTRY"] = stack.enter_context(Registry()).address
    with unavailable_is_reported():
        from base_image import docker_engine, ensure

        with docker_engine() as engine:
            found["FNPACK_TEST_BASE_IMAGE"] = ensure(engine)
    return found


@contextlib.contextmanager
def unavailable_is_reported() -> Iterator[None]:
    """Say which service is missing and go on; the tests that need it decide what that means."""
    try:
        yield
    except UnavailableError as reason:
        print(f"services: {reason}", file=sys.stderr)


def run(command: list[str], environment: dict[str, str]) -> int:
    """Run a command; Ctrl-C reaches it from the terminal, SIGTERM is handed on, and either way it may end by itself."""
    with subprocess.Popen(command, env=environment) as child:

        def hand_on(number: int, frame: FrameType | None) -> None:
            child.send_signal(number)

        signal.signal(signal.SIGTERM, hand_on)
        signal.signal(signal.SIGINT, lambda number, frame: None)
        code = child.wait()
    return 128 - code if code < 0 else code  # ended by a signal: what a shell would say


if __name__ == "__main__":
    sys.exit(main())
