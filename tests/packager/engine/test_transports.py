"""The same build over each way to reach an Engine: the session takes over a unix, TCP and TLS connection alike."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import ssl
import subprocess
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from fnpack.engine import Engine

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("docker_engine")]

ENGINE_SOCKET = "/var/run/docker.sock"


def copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError, ValueError):
        while data := source.recv(65536):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


def forward(client: socket.socket) -> None:
    with client, socket.socket(socket.AF_UNIX) as engine:
        engine.connect(ENGINE_SOCKET)
        back = threading.Thread(target=copy, args=(engine, client))
        back.start()
        copy(client, engine)
        back.join()


@contextmanager
def forwarder(tls: ssl.SSLContext | None) -> Iterator[int]:
    """A port on loopback that leads to the Engine's socket."""
    threads: list[threading.Thread] = []

    def accept(server: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client, _ = server.accept()
                secured = tls.wrap_socket(client, server_side=True) if tls else client
                threads.append(threading.Thread(target=forward, args=(secured,)))
                threads[-1].start()

    with socket.create_server(("127.0.0.1", 0)) as server:
        accepting = threading.Thread(target=accept, args=(server,))
        accepting.start()
        yield int(server.getsockname()[1])
        server.shutdown(socket.SHUT_RDWR)
        accepting.join(10)
    for thread in threads:
        thread.join(10)


def certificates(folder: Path) -> ssl.SSLContext:
    """docker's cert.pem, key.pem and ca.pem: one self-signed certificate plays every part."""
    if not shutil.which("openssl"):
        pytest.skip("openssl is not installed")
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=localhost",
    ]
    command += ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    subprocess.run(
        [*command, "-keyout", folder / "key.pem", "-out", folder / "cert.pem"],
        check=True,
        capture_output=True,
    )
    shutil.copy(folder / "cert.pem", folder / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    context.load_verify_locations(folder / "ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    return context


@pytest.mark.skipif(
    os.environ.get("DOCKER_HOST", "") not in ("", f"unix://{ENGINE_SOCKET}"),
    reason="the Engine is not on its own socket",
)
@pytest.mark.parametrize("tls", [False, True], ids=["tcp", "tls"])
def test_a_build_with_a_secret_over(
    tls: bool, debian_base: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = certificates(tmp_path) if tls else None
    folder = tmp_path / "context"
    folder.mkdir()
    (folder / "Dockerfile").write_text(
        f"FROM {debian_base}\nRUN --mount=type=secret,id=x sha256sum /run/secrets/x > /sum # {uuid.uuid4()}\n"
    )
    with forwarder(context) as port:
        monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{port}")
        if tls:
            monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
            monkeypatch.setenv("DOCKER_CERT_PATH", str(tmp_path))
            monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
            monkeypatch.delenv("CURL_CA_BUNDLE", raising=False)
        with Engine.connect() as engine:
            image = engine.build(
                folder, tags=[f"fnpack-test/transport:{port}"], secrets={"x": b"over the wire"}
            )
            try:
                said = engine.client.containers.run(image, ["cat", "/sum"], remove=True, network_mode="none")
            finally:
                engine.client.api.remove_image(image, force=True)
    assert said.decode().startswith(hashlib.sha256(b"over the wire").hexdigest())
