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
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from fnpack.dev.azurite import Azurite as DevAzurite
from fnpack.dev.azurite_install import PROGRAM
from fnpack.dev.service import Service
from setup import AZURITE, NODE


class UnavailableError(Exception):
    """A service cannot run on this machine; the text is the reason and what to do."""


class Azurite(DevAzurite):
    """A storage account with blobs, queues and tables, run by the Node and the Azurite of this checkout."""

    def __init__(self, location: Path | None = None) -> None:
        """`location` keeps the data over restarts; without it they live as long as the object."""
        super().__init__(NODE, AZURITE / PROGRAM, location)

    def command(self) -> list[str]:  # noqa: D102
        if not (NODE.exists() and (AZURITE / PROGRAM).exists()):
            raise UnavailableError(
                "Azurite is not installed here; `make setup` installs it and says why it cannot"
            )
        return super().command()


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
        return [*die_with_parent(), program, "serve", str(configuration)]

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
    import services  # as base_image.py does: one module, so that what it raises is what is caught here

    sys.exit(services.main())
