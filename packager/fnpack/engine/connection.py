"""Finds the Docker Engine and, when there is none to talk to, says which of the many reasons it is."""

from __future__ import annotations

import os
import shutil
import ssl
from collections.abc import Iterator
from typing import TYPE_CHECKING

from fnpack.engine.errors import EngineMissing

if TYPE_CHECKING:
    from docker import DockerClient

PING_TIMEOUT_S = 20
CALL_TIMEOUT_S = 600  # the longest silence of one call (a registry that takes its time), not its whole length
OLDEST_API = (1, 39)  # Engine 18.09: the first with BuildKit and its sessions


def connect() -> DockerClient:
    """A client of the Engine that DOCKER_HOST, the docker context or the default socket names; it has answered."""
    try:
        import docker
        from docker.errors import DockerException
    except ImportError as exc:
        raise EngineMissing(
            "the docker SDK for Python is not installed", hint='Install it: pip install "fnpack[build]".'
        ) from exc
    host = os.environ.get("DOCKER_HOST", "")
    if host.startswith("ssh://"):
        raise EngineMissing(
            "DOCKER_HOST names an Engine over ssh, which build sessions cannot use",
            hint="Forward its socket: ssh -fNL /tmp/docker.sock:/var/run/docker.sock HOST, "
            "then DOCKER_HOST=unix:///tmp/docker.sock.",
        )
    try:
        client = docker.from_env(timeout=PING_TIMEOUT_S)
        client.ping()
    except (DockerException, OSError, ValueError) as exc:
        raise _diagnosis(host, exc) from exc
    client.api.timeout = CALL_TIMEOUT_S
    _refuse_without_buildkit(client)
    return client


def _refuse_without_buildkit(client: DockerClient) -> None:
    version = client.version()
    api = tuple(int(part) for part in str(version["ApiVersion"]).split("."))
    if version.get("Os") == "linux" and api >= OLDEST_API:
        return
    client.close()
    raise EngineMissing(
        f"the Docker Engine here ({version.get('Version')}, {version.get('Os')}) cannot build with BuildKit",
        hint="Use a Linux Engine of version 18.09 or newer (in Docker Desktop: Linux containers).",
    )


def _diagnosis(host: str, exc: BaseException) -> EngineMissing:
    where = host or "the default socket"
    match next(
        (cause for cause in _causes(exc) if isinstance(cause, OSError) and isinstance(cause.errno, int)), None
    ):
        case PermissionError():
            return EngineMissing(
                f"permission denied by the Docker Engine's socket ({where})",
                hint="Add yourself to the group `docker` (sudo usermod -aG docker $USER, then log in again), "
                "or use a rootless Engine.",
            )
        case ssl.SSLError() as tls:
            return EngineMissing(
                f"no trusted TLS connection to the Docker Engine at {where}: {tls.args[-1]}",
                hint="Check ca.pem, cert.pem and key.pem in DOCKER_CERT_PATH (~/.docker); REQUESTS_CA_BUNDLE, "
                "where it is set, is used in place of ca.pem.",
            )
        case FileNotFoundError() | ConnectionRefusedError() if not host:
            return _not_running() if shutil.which("dockerd") else _not_installed()
        case _:
            return EngineMissing(
                f"no Docker Engine answers at {where}",
                hint="Start it (dockerd), or correct DOCKER_HOST or the docker context (`docker context ls`)."
                if host
                else "Start it (dockerd), or set DOCKER_HOST to where it listens.",
            )


def _not_running() -> EngineMissing:
    return EngineMissing(
        "the Docker Engine is installed but not running",
        hint="Start it: sudo systemctl start docker (or sudo dockerd), or set DOCKER_HOST to where one listens.",
    )


def _not_installed() -> EngineMissing:
    return EngineMissing(
        "no Docker Engine is installed here",
        hint="Install one (Debian: sudo apt install docker.io), start dockerd, "
        "or set DOCKER_HOST to where one listens.",
    )


def _causes(exc: BaseException) -> Iterator[BaseException]:
    """The exception and all below it: chained ones, and the ones that requests and urllib3 keep in `args`."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [exc]
    while waiting:
        found = waiting.pop()
        if found is None or id(found) in seen:
            continue
        seen.add(id(found))
        yield found
        waiting += [
            found.__cause__,
            found.__context__,
            *(a for a in found.args if isinstance(a, BaseException)),
        ]
