"""Fixtures that give tests the real services; what is missing skips on a laptop, with the reason, and fails in CI.

`make test` starts Azurite, a registry and the base image once and names them in the environment; a test run by hand
starts its own. Services are shared by all tests of a run, so every test names its own containers and repositories.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import pytest
from browser import Browser
from hypothesis import settings

from base_image import docker_engine as open_docker_engine
from base_image import ensure
from services import Azurite, Registry, UnavailableError

if TYPE_CHECKING:
    from docker import DockerClient

pytest_plugins = ("dev_process", "host_process", "scoring_apps")

settings.register_profile("quick", max_examples=10)
T = TypeVar("T")
NEEDS = {
    "azurite": {"azurite", "azurite_factory"},
    "registry": {"registry", "registry_factory"},
    "docker": {"docker_engine", "debian_base"},
    "browser": {"browser"},
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test with the services that its fixtures need, so that `-m "not docker"` is always right."""
    for item in items:
        fixtures = set(getattr(item, "fixturenames", ()))
        for mark, names in NEEDS.items():
            if fixtures & names:
                item.add_marker(mark)


def missing(reason: object) -> NoReturn:
    """A service is not here: skip on a laptop, fail in CI."""
    if os.environ.get("CI"):
        pytest.fail(str(reason), pytrace=False)
    pytest.skip(str(reason))


@contextmanager
def found(service: Callable[[], AbstractContextManager[T]]) -> Iterator[T]:
    """Run a service, or say that it is not here."""
    with ExitStack() as stack:
        try:
            running = stack.enter_context(service())
        except UnavailableError as reason:
            missing(reason)
        yield running


@dataclass(frozen=True)
class StorageAccount:
    """Where a storage account is and what opens it."""

    connection_string: str

    @property
    def blob_endpoint(self) -> str:
        """The blob service's address, without a slash at its end."""
        parts = dict(part.split("=", 1) for part in self.connection_string.rstrip(";").split(";"))
        return parts["BlobEndpoint"]


@pytest.fixture(scope="session")
def azurite() -> Iterator[StorageAccount]:
    """The storage account that all tests of the run share."""
    given = os.environ.get("AZURITE_CONNECTION_STRING")
    if given:
        yield StorageAccount(given)
        return
    try:
        with Azurite() as running:
            yield StorageAccount(running.connection_string)
    except UnavailableError as reason:
        missing(reason)


@pytest.fixture
def azurite_factory() -> Iterator[Callable[..., Azurite]]:
    """Starts private Azurites: `azurite_factory(tmp_path)` keeps its data there, and can `stop`, `start`, `restart`."""
    running: list[Azurite] = []

    def start(location: Path | None = None) -> Azurite:
        one = Azurite(location)
        running.append(one)
        try:
            one.start()
        except UnavailableError as reason:
            missing(reason)
        return one

    yield start
    for one in running:
        one.close()


@pytest.fixture(scope="session")
def registry() -> Iterator[str]:
    """`127.0.0.1:PORT` of an image registry that all tests of the run share."""
    given = os.environ.get("FNPACK_TEST_REGISTRY")
    if given:
        yield given
        return
    with found(Registry) as running:
        yield running.address


@pytest.fixture(scope="session")
def docker_engine() -> Iterator[DockerClient]:
    """A client of the Docker Engine."""
    with found(open_docker_engine) as client:
        yield client


@pytest.fixture(scope="session")
def debian_base(docker_engine: DockerClient) -> str:
    """The reference of a base image with python3 that is in the Engine, made once on this machine."""
    with (Path(tempfile.gettempdir()) / f"fnpack-base-image-{os.getuid()}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two pytest processes do not make it twice
        try:
            return ensure(docker_engine)
        except UnavailableError as reason:
            missing(reason)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A headless Chromium that reaches this machine alone."""
    with found(Browser) as running:
        yield running


@pytest.fixture(scope="session")
def free_port() -> Callable[[], int]:
    """Gives a loopback port that nothing listens on at the moment; for programs that cannot choose one themselves."""

    def find() -> int:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
            return port

    return find


@pytest.fixture(scope="session")
def wait_until() -> Callable[..., object]:
    """`wait_until(probe, timeout_s=10.0, what="...")` polls until the probe gives something true, and returns that."""

    def poll(probe: Callable[[], T], timeout_s: float = 10.0, interval_s: float = 0.05, what: str = "") -> T:
        deadline = time.monotonic() + timeout_s
        while True:
            result = probe()
            if result:
                return result
            if time.monotonic() > deadline:
                pytest.fail(f"not within {timeout_s:g} s: {what or getattr(probe, '__name__', probe)}")
            time.sleep(interval_s)

    return poll


@pytest.fixture
def registry_factory() -> Iterator[Callable[..., Registry]]:
    """Starts private registries: `registry_factory(auth="...", certificate=(chain, key))`, as `Registry` takes them."""
    running: list[Registry] = []

    def start(**options: Any) -> Registry:
        one = Registry(**options)
        running.append(one)
        try:
            one.start()
        except UnavailableError as reason:
            missing(reason)
        return one

    yield start
    for one in running:
        one.close()


@pytest.fixture(scope="session")
def skopeo() -> str:
    """The program that copies and inspects images, written by others."""
    found = shutil.which("skopeo")
    return found or missing("skopeo is not installed (Debian: skopeo)")


@pytest.fixture
def locked_registry(registry_factory: Callable[..., Registry], tmp_path: Path) -> str:
    """A registry that only `robot` with the password `correct-horse` may use, by Basic authentication."""
    if not shutil.which("htpasswd"):
        missing("htpasswd is not installed (Debian: apache2-utils)")
    users = tmp_path / "registry-users"
    subprocess.run(["htpasswd", "-Bbc", users, "robot", "correct-horse"], check=True, capture_output=True)
    return registry_factory(auth=f"{{htpasswd: {{realm: test, path: {users}}}}}").address
