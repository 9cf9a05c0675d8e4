"""Fetching against a server that wants logins, breaks off, redirects and refuses."""

from __future__ import annotations

import datetime
import ipaddress
import json
import os
import ssl
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from fnpack.dependencies import cache
from fnpack.dependencies import fetch as fetching
from fnpack.dependencies.cache import place_of
from fnpack.dependencies.errors import CacheUnusable, DownloadFailed, HashMismatch, PackageIndexRefused
from fnpack.dependencies.fetch import fetch
from fnpack.dependencies.index import PackageIndex
from fnpack.dependencies.lock import Requirements
from fnpack.dependencies.provide import resolve, wheels
from fnpack.dependencies.selection import Selected
from fnpack.dependencies.target import Target
from fnpack.progress import ProgressEvent
from package_index import Index, make_wheel, serving, sha256


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Pauses are noted, not made."""
    pauses: list[float] = []

    def wait(self: object, pause: float) -> bool:
        pauses.append(pause)
        return False

    monkeypatch.setattr(fetching._Fetching, "_wait", wait)
    return pauses


def wanted(index: Index, name: str = "alpha", text: str = "x = 1\n") -> Selected:
    path = make_wheel(index.packages, name, "1.0", text=text)
    url = f"http://{index.address}/files/{path.name}"
    return Selected("wheel", name, "1.0", path.name, sha256(path), url, size_bytes=path.stat().st_size)


def drop_after(size: int, times: int):
    """A fault: the connection ends after `size` bytes of the answer's body, `times` times."""
    left = [times]

    def fault(handler) -> bool:
        if not handler.path.startswith("/files/") or not left[0]:
            return False
        left[0] -= 1
        write = handler.wfile.write

        def cut(data: bytes) -> int:
            if not data.startswith(b"HTTP/"):
                write(data[:size])
                handler.wfile.flush()
                handler.connection.shutdown(2)
                raise ConnectionResetError
            return write(data)

        handler.wfile.write = cut
        try:
            handler.file(handler.index.packages / handler.path.rpartition("/")[2])
        except ConnectionResetError:
            handler.close_connection = True
        return True

    return fault


def answer(status: int, times: int, **headers: str):
    left = [times]

    def fault(handler) -> bool:
        if not left[0]:
            return False
        left[0] -= 1
        handler.answer(b"no", status=status, headers={k.replace("_", "-"): v for k, v in headers.items()})
        return True

    return fault


def test_files_are_fetched_once_and_told(index: Index) -> None:
    files = [wanted(index, name) for name in ("alpha", "beta")]
    events: list[ProgressEvent] = []
    places = fetch(files, index.settings(), events.append)
    assert [sha256(places[one]) for one in files] == [one.sha256 for one in files]
    assert (events[0].status, events[-1].status) == ("started", "done")
    assert events[-1].current_bytes == events[-1].total_bytes == sum(one.size_bytes or 0 for one in files)
    asked = len(index.requests)
    assert fetch(files, index.settings()) == places
    assert len(index.requests) == asked


def test_broken_connection_is_taken_up_where_it_ended(index: Index) -> None:
    one = wanted(index, text="x" * 300_000)
    index.faults.append(drop_after(100_000, times=2))
    places = fetch([one], index.settings())
    assert sha256(places[one]) == one.sha256
    ranges = [headers.get("Range") for headers in index.headers]
    assert ranges[0] is None
    assert ranges[1] == "bytes=100000-"


def test_server_that_cannot_go_on_in_the_middle_is_read_from_the_start(index: Index) -> None:
    one = wanted(index, text="x" * 300_000)
    index.faults.append(drop_after(100_000, times=1))

    def whole(handler) -> bool:
        del handler.headers["Range"]
        return False

    index.faults.append(whole)
    assert sha256(fetch([one], index.settings())[one]) == one.sha256


def test_busy_server_is_asked_again_when_it_says(index: Index, no_pauses: list[float]) -> None:
    one = wanted(index)
    index.faults += [answer(503, 2), answer(429, 1, Retry_After="7")]
    assert fetch([one], index.settings())[one].is_file()
    assert len(no_pauses) == 3
    assert no_pauses[2] == 7.0
    assert 0 < no_pauses[0] < no_pauses[1]


def test_server_that_stays_down_is_named_after_a_few_attempts(index: Index) -> None:
    one = wanted(index)
    index.faults.append(answer(503, 100))
    with pytest.raises(
        DownloadFailed, match=r"alpha-1.0-py3-none-any.whl cannot be fetched from 127.0.0.1: HTTP 503"
    ):
        fetch([one], PackageIndex())
    assert len(index.requests) == 5


def test_wrong_content_is_refused_and_never_visible(index: Index, clean_user: Path) -> None:
    one = wanted(index)
    (index.packages / one.filename).write_bytes(b"something else")
    with pytest.raises(HashMismatch, match="is not the file that was locked"):
        fetch([one], index.settings())
    assert not [path for path in clean_user.rglob("*") if path.is_file()]


def test_file_that_moved_is_found_through_the_index(index: Index, make_index) -> None:
    one = wanted(index)
    for as_json in (True, False):
        mirror = make_index(f"mirror{as_json}")
        mirror.as_json = as_json
        (index.packages / one.filename).rename(mirror.packages / one.filename)
        place = fetch([one], mirror.settings())[one]
        assert sha256(place) == one.sha256
        place.unlink()
        (mirror.packages / one.filename).rename(index.packages / one.filename)


def test_login_of_the_address_is_sent_and_hidden(index: Index) -> None:
    index.login = "me:s3cret/+"
    one = wanted(index)
    assert fetch([one], index.settings(index_url=index.with_login("me:s3cret%2F%2B")))[one].is_file()


def test_login_of_netrc_is_sent(index: Index, tmp_path: Path) -> None:
    index.login = "me:s3cret"
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password s3cret\n")
    one = wanted(index)
    assert fetch([one], index.settings(netrc_file=tmp_path / "netrc"))[one].is_file()


def keyring_command(folder: Path) -> str:
    """A `keyring` that knows one login and notes what it was asked."""
    folder.mkdir()
    script = folder / "keyring"
    script.write_text(
        f"#!{sys.executable}\nimport json, sys\n"
        f"open({str(folder / 'asked')!r}, 'a').write(' '.join(sys.argv[1:]) + '\\n')\n"
        "if '--mode' in sys.argv: print(json.dumps({'username': 'me', 'password': 's3cret'}))\n"
        "elif sys.argv[-1] == 'me': print('s3cret')\n"
        "else: sys.exit(1)\n"
    )
    script.chmod(0o755)
    return str(folder)


@pytest.mark.parametrize("user", ["", "me@"])
def test_keyring_is_asked_once_and_only_when_the_server_refuses(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, user: str
) -> None:
    folder = keyring_command(tmp_path / "bin")
    monkeypatch.setenv("PATH", folder, prepend=os.pathsep)
    settings = index.settings(index_url=f"http://{user}{index.address}/simple")
    files = [wanted(index, name) for name in ("alpha", "beta", "gamma")]
    fetch(files[:1], settings)
    assert not Path(folder, "asked").exists()
    index.login = "me:s3cret"
    assert all(place.is_file() for place in fetch(files, settings).values())
    (asked,) = Path(folder, "asked").read_text().splitlines()
    assert index.url in asked


def test_keyring_serves_the_resolver_too(
    index: Index, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", keyring_command(tmp_path / "bin"), prepend=os.pathsep)
    index.login = "me:s3cret"
    make_wheel(index.packages, "alpha", "1.0")
    target = Target("linux/amd64", "3.11")
    found = resolve(Requirements(("alpha",)), [target], project=project, index=index.settings())
    assert [wheel.name for wheel in wheels(found, target)] == ["alpha"]
    assert "s3cret" not in found.lock.text


def test_progress_that_raises_ends_the_download(index: Index) -> None:
    one = wanted(index)

    def told(event: ProgressEvent) -> None:
        if event.status == "running":
            raise KeyError("enough")

    with pytest.raises(KeyError, match="enough"):
        fetch([one], index.settings(), told)
    assert not place_of(one.sha256, one.filename).exists()


@pytest.mark.parametrize("login", ["", "me:wr0ng@"])
def test_refused_login_is_told_without_it(index: Index, login: str) -> None:
    index.login = "me:s3cret"
    one = wanted(index)
    with pytest.raises(PackageIndexRefused) as caught:
        fetch([one], index.settings(index_url=f"http://{login}{index.address}/simple"))
    message = f"{caught.value} {caught.value.hint}"
    assert "127.0.0.1 refused to give a package: HTTP 401" in message
    assert "netrc" in message
    assert ("no login for it was found" in message) == (not login)
    assert "wr0ng" not in message


def test_login_does_not_follow_a_redirect_to_another_server(index: Index, make_index) -> None:
    other = make_index("storage")
    one = wanted(other)
    index.login = "me:s3cret"
    location = one.url or ""
    index.faults.append(
        lambda handler: (
            answer(302, 1, Location=location)(handler) if handler.headers["Authorization"] else False
        )
    )
    asked = Selected(
        "wheel", "alpha", "1.0", one.filename, one.sha256, f"http://{index.address}/files/{one.filename}"
    )
    assert fetch([asked], index.settings(index_url=index.with_login("me:s3cret")))[asked].is_file()
    assert index.headers[0]["Authorization"]
    assert all("Authorization" not in headers for headers in other.headers)


def test_proxy_is_used_with_its_login(index: Index, make_index) -> None:
    proxy = make_index("proxy")
    one = wanted(index)

    def forward(handler) -> bool:
        assert handler.path == one.url
        handler.file(index.packages / one.filename)
        return True

    proxy.faults.append(forward)
    settings = index.settings(proxy=f"http://p:pw@{proxy.address}")
    assert fetch([one], settings)[one].is_file()
    assert proxy.headers[0]["Proxy-Authorization"] == "Basic cDpwdw=="
    assert index.requests == []


@pytest.fixture
def private_ca(tmp_path: Path) -> tuple[Path, ssl.SSLContext]:
    """A certificate authority that nobody knows, and a server's context with its certificate."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    now = datetime.datetime.now(datetime.timezone.utc)
    ca_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))

    def certificate(name: str, issuer: str, number: int) -> x509.CertificateBuilder:
        subject, by = (
            x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)]) for text in (name, issuer)
        )
        day = datetime.timedelta(days=1)
        builder = x509.CertificateBuilder(subject_name=subject, issuer_name=by, serial_number=number)
        return builder.not_valid_before(now - day).not_valid_after(now + day)

    is_ca = x509.BasicConstraints(ca=True, path_length=None)
    at = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    ca = certificate("ca", "ca", 1).public_key(ca_key.public_key()).add_extension(is_ca, critical=True)
    server = certificate("server", "ca", 2).public_key(key.public_key()).add_extension(at, critical=False)
    # Python 3.13 wants to see which key has signed (RFC 5280, 4.2.1.1).
    by_ca = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key())
    ca = ca.add_extension(x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key()), critical=False)
    signs = x509.KeyUsage(
        digital_signature=True, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    ca, server = ca.add_extension(signs, critical=True), server.add_extension(by_ca, critical=False)
    pem = serialization.Encoding.PEM
    public, chain, private = (tmp_path / name for name in ("ca.pem", "server.pem", "key.pem"))
    public.write_bytes(ca.sign(ca_key, hashes.SHA256()).public_bytes(pem))
    chain.write_bytes(server.sign(ca_key, hashes.SHA256()).public_bytes(pem))
    plain = serialization.NoEncryption()
    private.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, private)
    return public, context


def test_certificates_are_checked_with_the_users_own(
    tmp_path: Path, private_ca: tuple[Path, ssl.SSLContext], project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    public, context = private_ca
    (tmp_path / "secure").mkdir()
    with serving(Index(tmp_path / "secure", scheme="https"), context) as index:
        path = make_wheel(index.packages, "alpha", "1.0")
        target = Target("linux/amd64", "3.11")
        settings = index.settings(certificate=public)
        found = resolve(Requirements(("alpha",)), [target], project=project, index=settings)
        with pytest.raises(DownloadFailed, match="certificate verify failed"):
            fetch(found.selected[target], index.settings())
        (wheel,) = wheels(found, target)
        assert wheel.sha256 == sha256(path)
        wheel.path.unlink()
        trusting = index.settings(trusted_hosts=("127.0.0.1",))
        assert fetch(found.selected[target], trusting)[found.selected[target][0]].is_file()


@pytest.mark.skipif(
    sys.platform == "win32" or (os.geteuid() == 0 and not Path("/dev/full").exists()),
    reason="needs /dev/full",
)
def test_full_disk_is_told(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    one = wanted(index, text="x" * 300_000)
    real = cache.writing

    class Full:
        def __init__(self, file) -> None:
            self.file = file
            self.name = file.name

        def __getattr__(self, name: str):
            return getattr(self.file, name)

        def write(self, data: bytes) -> int:
            with Path("/dev/full").open("wb", buffering=0) as full:
                return full.write(data)

    @contextmanager
    def writing(target: Path):
        with real(target) as file:
            yield Full(file)

    monkeypatch.setattr(fetching, "writing", writing)
    with pytest.raises(CacheUnusable, match="no space left"):
        fetch([one], index.settings())


def test_cache_that_cannot_be_written_is_told(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nowhere")
    with pytest.raises(CacheUnusable, match="the cache cannot be written") as caught:
        fetch([wanted(index)], index.settings())
    assert "FNPACK_CACHE" in (caught.value.hint or "")


def test_several_processes_share_one_cache(index: Index, tmp_path: Path) -> None:
    one = wanted(index, text="x" * 2_000_000)
    code = (
        "import sys, json; from fnpack.dependencies.fetch import fetch; "
        "from fnpack.dependencies.index import PackageIndex; "
        "from fnpack.dependencies.selection import Selected; "
        "one = Selected(**json.loads(sys.argv[1])); print(fetch([one], PackageIndex())[one])"
    )
    command = [sys.executable, "-c", code, json.dumps(one._asdict())]
    with ThreadPoolExecutor(3) as pool:
        runs = list(
            pool.map(lambda _: subprocess.run(command, check=False, capture_output=True, text=True), range(3))
        )
    assert [run.stderr for run in runs] == [""] * 3
    place = place_of(one.sha256, one.filename)
    assert {run.stdout.strip() for run in runs} == {str(place)}
    assert sha256(place) == one.sha256
    assert [path.name for path in place.parent.iterdir()] == [one.filename]
