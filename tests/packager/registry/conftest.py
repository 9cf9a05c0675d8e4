"""Registries of every kind on the loopback, images to push, and clients that wait shortly and remember in a folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from fault_proxy import FaultProxy
from fnpack.registry import Registries, RegistrySettings
from services import Registry as RegistryService
from token_server import TokenServer

Settings = Callable[..., RegistrySettings]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Makes settings from an environment that has nothing of this machine; `Settings({...}, name=value)`."""

    def make(environ: Mapping[str, str] | None = None, **changes: object) -> RegistrySettings:
        home = tmp_path / "home"
        env = {"HOME": str(home), "FNPACK_CACHE": str(tmp_path / "cache"), **(environ or {})}
        found = RegistrySettings.discover(env)
        given = {"first_pause_s": 0.01, "longest_pause_s": 0.05, **changes}
        return found._replace(**given)  # type: ignore[arg-type]

    return make


@pytest.fixture
def registries(settings: Settings) -> Iterator[Registries]:
    """A client without any login."""
    with Registries(settings()) as client:
        yield client


@pytest.fixture
def proxy(registry: str) -> Iterator[FaultProxy]:
    """A proxy before the shared registry."""
    with FaultProxy(registry) as running:
        yield running


@pytest.fixture
def tokens(tmp_path: Path) -> Iterator[TokenServer]:
    """A token server: everybody may pull `public/`, and `robot` may push to `team/`."""
    server = TokenServer(tmp_path)
    server.users["robot"] = "correct-horse"
    server.rights = {"": {"public/": {"pull"}}, "robot": {"team/": {"pull", "push"}}}
    with server:
        yield server


@pytest.fixture
def token_registry(registry_factory: Callable[..., RegistryService], tokens: TokenServer) -> str:
    """A registry that asks for the tokens of `tokens`."""
    return registry_factory(auth=tokens.auth).address


@pytest.fixture
def docker_config(tmp_path: Path) -> Callable[[Mapping[str, object]], dict[str, str]]:
    """Writes a docker configuration; returns the environment that names it."""

    def write(content: Mapping[str, object]) -> dict[str, str]:
        folder = tmp_path / "docker"
        folder.mkdir(exist_ok=True)
        (folder / "config.json").write_text(json.dumps(content))
        return {"DOCKER_CONFIG": str(folder)}

    return write
