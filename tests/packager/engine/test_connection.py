from __future__ import annotations

import gc
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from fnpack.engine import Engine, EngineMissing, connection

# docker-py leaves the socket of a refused connection to the garbage collector.
pytestmark = pytest.mark.filterwarnings(
    "ignore:unclosed:ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)


@pytest.fixture(autouse=True)
def _no_docker_context(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.delenv("DOCKER_TLS_VERIFY", raising=False)
    yield
    gc.collect()


def refusal() -> EngineMissing:
    with pytest.raises(EngineMissing) as caught:
        Engine.connect()
    assert caught.value.code == "FN410"
    assert caught.value.exit_code == 4
    assert caught.value.hint is not None
    assert "--dockerfile-only" in caught.value.hint
    return caught.value


def test_a_missing_socket_says_where_it_looked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/docker.sock")
    assert f"{tmp_path}/docker.sock" in str(refusal())


def test_a_closed_tcp_port_says_where_it_looked(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{port}")
    assert f"127.0.0.1:{port}" in str(refusal())


def test_an_address_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "nonsense://x")
    refusal()


def test_ssh_gets_the_way_round(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "ssh://someone@there")
    assert "ssh -fNL" in (refusal().hint or "")


@pytest.mark.parametrize(
    ("cause", "host", "dockerd", "says", "hint"),
    [
        (PermissionError(13, "denied"), "", True, "permission denied", "usermod -aG docker"),
        (FileNotFoundError(2, "none"), "", False, "no Docker Engine is installed", "docker.io"),
        (FileNotFoundError(2, "none"), "", True, "installed but not running", "systemctl start docker"),
        (ssl.SSLError(1, "wrong version number"), "tcp://e:2376", True, "TLS", "ca.pem"),
        (
            ConnectionRefusedError(111, "refused"),
            "",
            True,
            "installed but not running",
            "systemctl start docker",
        ),
        (
            ConnectionRefusedError(111, "refused"),
            "tcp://engine:2375",
            True,
            "tcp://engine:2375",
            "DOCKER_HOST",
        ),
    ],
)
def test_each_reason_has_its_own_words(
    monkeypatch: pytest.MonkeyPatch, cause: OSError, host: str, dockerd: bool, says: str, hint: str
) -> None:
    monkeypatch.setattr("shutil.which", lambda name: "/usr/sbin/dockerd" if dockerd else None)
    wrapped = RuntimeError("Error while fetching server API version")
    wrapped.__cause__ = ConnectionError(RuntimeError("Connection aborted.", cause))
    found = connection._diagnosis(host, wrapped)
    assert says in str(found)
    assert hint in (found.hint or "")
