"""The Docker Engine at this machine's socket, without the SDK, whose import takes longer than most builds.

It knows images alone: to look one up, to save one, to load one. Engines elsewhere are the SDK's.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import tempfile
import time
from collections.abc import Iterable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import cast
from urllib.parse import quote

from fnpack.oci.errors import BaseInvalid, LayerUnwritable
from fnpack.progress import Progress, ProgressEvent

_SOCKET = "/var/run/docker.sock"
_TIMEOUT_S = 5.0
_LONG_TIMEOUT_S = 600.0  # the longest silence while an image is saved or loaded
_BLOCK_BYTES = 1 << 20
_UNUSED_S = 7 * 86400.0  # after which a saved image is removed


@dataclass(frozen=True, slots=True)
class LocalEngine:
    """An Engine that has answered."""

    socket_path: str

    @classmethod
    def connect(cls) -> LocalEngine | None:
        """The Engine at the socket of DOCKER_HOST, or at the usual one; None if none answers there."""
        host = os.environ.get("DOCKER_HOST") or f"unix://{_SOCKET}"
        if not host.startswith("unix://") or not hasattr(socket, "AF_UNIX"):
            return None
        engine = cls(host.removeprefix("unix://"))
        return engine if engine._get("/_ping")[0] == http.client.OK else None

    def inspect_image(self, name: str) -> Mapping[str, object] | None:
        """The Engine's description of an image, or None if it has none of that name."""
        return self._json(f"/images/{quote(name, safe='/:@')}/json")

    def info(self) -> Mapping[str, object]:
        """The Engine's description of itself."""
        return self._json("/info") or {}

    def save(self, image_id: str, target: Path) -> None:
        """Write what `docker save` does, whole or not at all. Raises OSError and HTTPException."""
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=target.parent, prefix=".new-", delete=False) as file:
            try:
                with closing(self._connection(_LONG_TIMEOUT_S)) as connection:
                    connection.request("GET", f"/images/{image_id}/get")
                    response = connection.getresponse()
                    if response.status != http.client.OK:
                        raise http.client.HTTPException(f"status {response.status}")
                    while block := response.read(_BLOCK_BYTES):
                        file.write(block)
            except BaseException:
                Path(file.name).unlink(missing_ok=True)
                raise
        Path(file.name).replace(target)

    def load(self, archive: Iterable[bytes]) -> str | None:
        """Send what `docker load` takes; returns the Engine's complaint, if it has one."""
        headers = {"Content-Type": "application/x-tar", "Transfer-Encoding": "chunked"}
        try:
            with closing(self._connection(_LONG_TIMEOUT_S)) as connection:
                connection.request("POST", "/images/load?quiet=1", archive, headers, encode_chunked=True)
                response = connection.getresponse()
                return complaint(response.status, response.read())
        except (OSError, http.client.HTTPException) as error:
            if isinstance(error, OSError) and error.filename is not None:
                raise  # a file of the image's, not the connection
            return f"the connection broke ({type(error).__name__})"

    def _json(self, path: str) -> Mapping[str, object] | None:
        status, body = self._get(path)
        with suppress(ValueError):
            found = json.loads(body) if status == http.client.OK else None
            return cast("Mapping[str, object]", found) if isinstance(found, Mapping) else None
        return None

    def _get(self, path: str) -> tuple[int, bytes]:
        try:
            with closing(self._connection(_TIMEOUT_S)) as connection:
                connection.request("GET", path)
                response = connection.getresponse()
                return response.status, response.read()
        except (OSError, http.client.HTTPException):
            return 0, b""

    def _connection(self, timeout_s: float) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection("localhost", timeout=timeout_s)
        connection.sock = socket.socket(socket.AF_UNIX)
        try:
            connection.sock.settimeout(timeout_s)
            connection.sock.connect(self.socket_path)
        except OSError:
            connection.close()
            raise
        return connection


def complaint(status: int, body: bytes) -> str | None:
    """What the lines of an answer to `load` complain about."""
    for line in body.splitlines():
        with suppress(ValueError):
            said = json.loads(line)
            if isinstance(said, dict) and (status >= 400 or "error" in said):
                return str(said.get("error") or said.get("message") or said)
    return f"status {status}" if status >= 400 else None


def engine_archive(reference: str, folder: Path, progress: Progress) -> Path | None:
    """The image as a `docker save` archive in `folder`, or None where no Engine answers or has it.

    Only a name without a registry is looked for: a registry's own word counts for its images.
    Raises BaseInvalid, LayerUnwritable.
    """
    first, slash, _ = reference.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return None
    engine = LocalEngine.connect()
    found = engine.inspect_image(reference) if engine else None
    if engine is None or found is None:
        return None
    image_id = str(found["Id"])
    target = folder / f"{image_id.removeprefix('sha256:')}.tar"
    if target.is_file():
        with suppress(OSError):
            os.utime(target)
        return target
    name = f"save {reference} from the Docker Engine"
    progress(ProgressEvent(name, "started"))
    try:
        engine.save(image_id, target)
    except (OSError, http.client.HTTPException) as error:
        progress(ProgressEvent(name, "failed", str(error)))
        raise _unsaved(reference, folder, error) from error
    progress(ProgressEvent(name, "done"))
    _tidy(folder)
    return target


def _unsaved(reference: str, folder: Path, error: Exception) -> BaseInvalid | LayerUnwritable:
    if isinstance(error, OSError) and not isinstance(error, ConnectionError | TimeoutError):
        return LayerUnwritable(
            f"the base image cannot be saved to {folder}: {error.strerror or error}",
            hint="make room there, or name another folder in FNPACK_CACHE",
        )
    return BaseInvalid(
        f"the Docker Engine does not give the base image {reference}: {error}", hint="check the Engine's log"
    )


def _tidy(folder: Path) -> None:
    """Remove what no build has used for a week."""
    for path in folder.glob("*.tar"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > _UNUSED_S:
                path.unlink()
