"""TLS with a private CA, registries that turn out to speak it, and the way through a proxy."""

from __future__ import annotations

import base64
import datetime
import ipaddress
import select
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from fault_proxy import FaultProxy
from fnpack.registry import Reference, Registries, RegistrySettings, get_manifest, push_image
from fnpack.registry.addresses import Address
from fnpack.registry.errors import ProxyFailed, RegistryError, TlsFailed
from fnpack.registry.settings import Proxies
from fnpack.registry.transport import Request, Transport
from image_parts import image, layer, reference
from services import Registry

Settings = Callable[..., RegistrySettings]
PARTS = image(layer(b"x" * 100), layer(b"y" * 200_000))


def certified(
    folder: Path, days: tuple[int, int] = (-1, 1), name: str = "localhost"
) -> tuple[Path, Path, Path]:
    """A CA, and a certificate of it for this machine; returns (CA, chain, key)."""
    folder.mkdir(exist_ok=True)
    now = datetime.datetime.now(datetime.timezone.utc)
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())

    def builder(subject: str, public: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test CA")]))
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + datetime.timedelta(days=days[0]))
            .not_valid_after(now + datetime.timedelta(days=days[1]))
        )

    usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
    ca = (
        builder("test CA", ca_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .sign(ca_key, hashes.SHA256())
    )
    names: list[x509.GeneralName] = [x509.DNSName(name)]
    if name == "localhost":
        names.append(x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
    certificate = (
        builder(name, key.public_key())
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "ca.pem").write_bytes(ca.public_bytes(pem))
    (folder / "chain.pem").write_bytes(certificate.public_bytes(pem))
    (folder / "key.pem").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return folder / "ca.pem", folder / "chain.pem", folder / "key.pem"


@pytest.fixture
def private_ca(tmp_path: Path) -> tuple[Path, Path, Path]:
    return certified(tmp_path / "tls")


@pytest.fixture
def tls_registry(registry_factory: Callable[..., Registry], private_ca: tuple[Path, Path, Path]) -> str:
    return registry_factory(certificate=private_ca[1:]).address


@pytest.mark.parametrize("where", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "certs.d"])
def test_a_private_ca_is_trusted_where_it_is_named(
    tls_registry: str, private_ca: tuple[Path, Path, Path], settings: Settings, tmp_path: Path, where: str
) -> None:
    if where == "certs.d":
        folder = tmp_path / "home" / ".config" / "docker" / "certs.d" / tls_registry
        folder.mkdir(parents=True)
        (folder / "ca.crt").write_bytes(private_ca[0].read_bytes())
        made = settings()
    else:
        made = settings({where: str(private_ca[0])})
    target = reference(tls_registry)
    with Registries(made) as client:  # it is on this machine, so HTTP is tried first and TLS found
        push_image(target, **PARTS.parts, registries=client)
        assert get_manifest(client, target) == PARTS.manifest


def test_an_unknown_ca_is_told_with_what_to_do(tls_registry: str, settings: Settings) -> None:
    with Registries(settings()) as client, pytest.raises(TlsFailed, match="not trusted") as caught:
        push_image(reference(tls_registry), **PARTS.parts, registries=client)
    assert caught.value.code == "FN467"
    hint = caught.value.hint or ""
    assert "SSL_CERT_FILE" in hint
    assert f"/etc/docker/certs.d/{tls_registry}/ca.crt" in hint
    assert f"--insecure-registry {tls_registry}" in hint


def test_an_insecure_registry_is_asked_for_no_proof(tls_registry: str, settings: Settings) -> None:
    with Registries(settings(insecure=frozenset({tls_registry}))) as client:
        push_image(reference(tls_registry), **PARTS.parts, registries=client)


def test_an_expired_certificate_and_another_name_are_told_apart(
    registry_factory: Callable[..., Registry], settings: Settings, tmp_path: Path
) -> None:
    for folder, days, name, told in (
        ("old", (-9, -2), "localhost", "clock"),
        ("other", (-1, 1), "other.test", "the name that the certificate"),
    ):
        ca, *certificate = certified(tmp_path / folder, days, name)
        address = registry_factory(certificate=tuple(certificate)).address
        with Registries(settings({"SSL_CERT_FILE": str(ca)})) as client, pytest.raises(TlsFailed) as caught:
            get_manifest(client, reference(address))
        assert told in (caught.value.hint or "")


def test_a_ca_file_that_cannot_be_read_is_named(
    tls_registry: str, settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "no.pem").write_text("this is no certificate")
    for path in (tmp_path / "no.pem", tmp_path / "missing.pem"):
        made = settings({"SSL_CERT_FILE": str(path)})
        with Registries(made) as client, pytest.raises(TlsFailed, match=path.name):
            get_manifest(client, reference(tls_registry))


def test_plain_http_beyond_this_machine_needs_to_be_allowed(
    registry: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = socket.getaddrinfo

    def resolve(host: str, *rest: Any, **more: Any) -> Any:
        return found("127.0.0.1" if host == "registry.test" else host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    address = f"registry.test:{registry.rpartition(':')[2]}"
    target = reference(address)
    with Registries(settings()) as client, pytest.raises(TlsFailed, match="does not speak TLS") as caught:
        push_image(target, **PARTS.parts, registries=client)
    assert f"--insecure-registry {address}" in (caught.value.hint or "")
    with Registries(settings(insecure=frozenset({address}))) as client:
        push_image(target, **PARTS.parts, registries=client)
        assert get_manifest(client, target) == PARTS.manifest


class _Tunnel:
    """An HTTP proxy that knows CONNECT alone, and wants a login. It finds `registry.test` on this machine."""

    def __init__(self, server: socket.socket, login: str) -> None:
        self.asked: list[str] = []
        self._server, self._login = server, login
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> _Tunnel:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._thread.join(5)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client:
            head = b""
            while b"\r\n\r\n" not in head:
                head += client.recv(4096)
            text = head.decode()
            self.asked.append(text.partition("\r\n")[0])
            if f"Proxy-Authorization: Basic {base64.b64encode(self._login.encode()).decode()}" not in text:
                client.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
                return
            to = text.split()[1].replace("registry.test", "127.0.0.1")
            client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            host, _, port = to.rpartition(":")
            with socket.create_connection((host, int(port))) as server:
                both = {client: server, server: client}
                while True:
                    for one in select.select(list(both), [], [])[0]:
                        data = one.recv(65536)
                        if not data:
                            return
                        both[one].sendall(data)


@pytest.fixture
def tunnel() -> Iterator[tuple[str, _Tunnel]]:
    with socket.create_server(("127.0.0.1", 0)) as server, _Tunnel(server, login="me:s3cret") as running:
        yield f"127.0.0.1:{server.getsockname()[1]}", running


def test_a_registry_behind_a_proxy_is_reached_by_connect(
    registry_factory: Callable[..., Registry],
    settings: Settings,
    tunnel: tuple[str, _Tunnel],
    tmp_path: Path,
) -> None:
    ca, *certificate = certified(tmp_path / "tls", name="registry.test")
    port = registry_factory(certificate=tuple(certificate)).ports[0]
    target = Reference.parse(f"registry.test:{port}/team/app:1")
    env = {"HTTPS_PROXY": f"http://me:s3cret@{tunnel[0]}", "SSL_CERT_FILE": str(ca)}
    with Registries(settings(env)) as client:
        push_image(target, **PARTS.parts, registries=client)
        assert get_manifest(client, target) == PARTS.manifest
    assert {asked.rpartition(" ")[0] for asked in tunnel[1].asked} == {f"CONNECT registry.test:{port}"}
    without = settings({**env, "HTTPS_PROXY": f"http://{tunnel[0]}"})
    with Registries(without) as client, pytest.raises(ProxyFailed, match="407") as caught:
        get_manifest(client, target)
    assert "NO_PROXY" in (caught.value.hint or "")
    direct = settings({**env, "NO_PROXY": "registry.test"})
    with Registries(direct) as client, pytest.raises(RegistryError, match="not known"):
        get_manifest(client, target)


def test_plain_http_goes_through_a_proxy_with_the_whole_address(registry: str, settings: Settings) -> None:
    with FaultProxy(registry) as proxy:
        made = settings()._replace(proxies=Proxies(http=f"http://me:s3cret@{proxy.address}"))
        transport = Transport(made)
        address = Address.parse("http://registry.test/v2/")
        transport.send(Request("GET", address, {"Accept": "*/*"})).text()
        transport.close()
    assert proxy.requests == [("GET", "http://registry.test/v2/")]
    assert proxy.headers[0]["Host"] == "registry.test"
    assert proxy.headers[0]["Proxy-Authorization"] == "Basic bWU6czNjcmV0"
