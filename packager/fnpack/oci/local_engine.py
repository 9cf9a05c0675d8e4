"""Base images that the Docker Engine has and no registry need be asked for, as `docker build` finds them."""

from __future__ import annotations

import http.client
import json
import os
import socket
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from fnpack.atomic_file import replacing
from fnpack.cache_pruning import used
from fnpack.full_disk import told_full_disk
from fnpack.progress import Progress, ProgressEvent

_SOCKET = "/var/run/docker.sock"
_TIMEOUT_S = 5.0
_SAVE_TIMEOUT_S = 600
_BLOCK_BYTES = 1 << 20


def engine_archive(
    reference: str, folder: Path, progress: Progress, *, any_name: bool = False
) -> Path | None:
    """The image as a `docker save` archive in `folder`, or None where no Engine answers or has it.

    Only a name without a registry is looked for, unless `any_name`: a registry's own word counts for its images. The
    Engine is asked over its socket, without the SDK, since this is a part of every build. Raises DiskFull.
    """
    first, slash, _ = reference.partition("/")
    if not any_name and slash and ("." in first or ":" in first or first == "localhost"):
        return None
    image = _inspect(reference)
    if image is None:
        return None
    target = folder / f"{image.removeprefix('sha256:')}.tar"
    used(target)
    if not target.is_file():
        name = f"save {reference} from the Docker Engine"
        progress(ProgressEvent(name, "started"))
        _save(image, target)
        progress(ProgressEvent(name, "done"))
    return target


def answers() -> bool:
    """Whether an Engine listens on this machine's socket."""
    return _get("/_ping")[0] == 200


def has_image(reference: str) -> bool:
    """Whether an Engine listens on this machine's socket and has the image."""
    return _inspect(reference) is not None


def _inspect(reference: str) -> str | None:
    status, body = _get(f"/images/{quote(reference, safe='/:@')}/json")
    with suppress(ValueError, KeyError, TypeError):
        return str(json.loads(body)["Id"]) if status == 200 else None
    return None


def _save(image: str, target: Path) -> None:
    with told_full_disk(target.parent), replacing(target, 0o666) as file:
        connection = _connection(_SAVE_TIMEOUT_S)
        try:
            connection.request("GET", f"/images/{image}/get")
            response = connection.getresponse()
            while block := response.read(_BLOCK_BYTES):
                file.write(block)
        finally:
            connection.close()


def _get(path: str) -> tuple[int, bytes]:
    try:
        connection = _connection(_TIMEOUT_S)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()
    except (OSError, http.client.HTTPException):
        return 0, b""


def _connection(timeout_s: float) -> http.client.HTTPConnection:
    """To the Engine's socket. Raises OSError where there is none."""
    host = os.environ.get("DOCKER_HOST") or f"unix://{_SOCKET}"
    if not host.startswith("unix://") or not hasattr(socket, "AF_UNIX"):
        raise OSError("the Engine is not on this machine")
    connection = http.client.HTTPConnection("localhost", timeout=timeout_s)
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.settimeout(timeout_s)
    connection.sock.connect(host.removeprefix("unix://"))
    return connection
