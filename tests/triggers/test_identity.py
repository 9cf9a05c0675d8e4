"""Storage opened with tokens: Azurite over TLS, which takes them, and a managed identity's endpoint as App Service's.

Nothing here is told to trust a stranger: the certificate's authority is named in SSL_CERT_FILE and REQUESTS_CA_BUNDLE,
as one would name a company's. So what opens storage runs in processes of its own.
"""

from __future__ import annotations

import base64
import json
import os
import re
import ssl
import subprocess
import sys
import threading
import time
import urllib.parse
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path

import pytest
from azure.storage.blob import BlobServiceClient
from azure.storage.queue import QueueClient
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from fnpack.dev.azurite import ACCOUNT, ACCOUNT_KEY
from fnpack.spec import BlobTrigger, HttpTrigger
from services import Azurite

STORAGE = "https://storage.azure.com"
HEADER = "header-of-the-identity-endpoint"
SECRET = "application-secret~1"
TENANT = "11111111-2222-3333-4444-555555555555"


class TlsAzurite(Azurite):
    """Azurite that takes bearer tokens, which it does over TLS alone."""

    listening = re.compile(r"successfully listening at https://127\.0\.0\.1:(\d+)")

    def __init__(self, certificate: Path) -> None:
        super().__init__()
        self.certificate = certificate

    def command(self) -> list[str]:
        key = str(self.certificate.with_suffix(".key"))
        return [*super().command(), "--oauth", "basic", "--cert", str(self.certificate), "--key", key]

    def _endpoint(self, index: int) -> str:
        return super()._endpoint(index).replace("http://", "https://")


def token(audience: str, lifetime_s: int = 3600) -> str:
    """A JWT with the claims that Azurite looks at; it checks no signature."""
    now = int(time.time())
    claims = {"aud": audience, "iss": f"https://sts.windows.net/{TENANT}/", "iat": now - 60, "nbf": now - 60}
    claims["exp"] = now + lifetime_s
    parts = (json.dumps(part).encode() for part in ({"alg": "none", "typ": "JWT"}, claims))
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts) + ".c2ln"


@dataclass
class Directory:
    """What gives tokens: to a managed identity (GET, as in App Service) and to an application (POST, over TLS)."""

    audience: str = STORAGE
    refusal: tuple[int, Mapping[str, object]] | None = None
    asked: list[dict[str, str]] = field(default_factory=list)
    url: str = ""

    def answer(self, query: Mapping[str, str]) -> tuple[int, Mapping[str, object]]:
        self.asked.append(dict(query))
        if self.refusal:
            return self.refusal
        lifetime = {"expires_in": 3600, "expires_on": str(int(time.time()) + 3600), "ext_expires_in": 3600}
        return 200, {
            "access_token": token(self.audience),
            "token_type": "Bearer",
            "resource": STORAGE,
            **lifetime,
        }


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 that is its own authority; the key is beside it."""
    path = tmp_path_factory.mktemp("tls") / "loopback.pem"
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "loopback")])
    now = datetime.now(timezone.utc)
    hosts: list[x509.GeneralName] = [x509.IPAddress(ip_address("127.0.0.1")), x509.DNSName("localhost")]
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=2))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectAlternativeName(hosts), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    path.write_bytes(made.public_bytes(Encoding.PEM))
    path.with_suffix(".key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return path


@pytest.fixture(scope="module")
def storage(azurite: object, certificate: Path) -> Iterator[TlsAzurite]:
    """An account that takes tokens; `azurite` skips where there is no Azurite."""
    with TlsAzurite(certificate) as running:
        yield running


@pytest.fixture
def directory_of(certificate: Path) -> Iterator[Callable[..., Directory]]:
    """Starts a directory: `directory_of(tls=True, audience=...)`."""
    servers: list[ThreadingHTTPServer] = []

    def start(*, tls: bool = False, **facts: object) -> Directory:
        directory = Directory(**facts)  # type: ignore[arg-type]

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(self.path).query))
                if self.headers["X-IDENTITY-HEADER"] == HEADER:
                    self.reply(*directory.answer(query))
                else:
                    self.reply(403, {})

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                self.reply(*directory.answer({"path": self.path, **dict(urllib.parse.parse_qsl(body))}))

            def reply(self, status: int, body: Mapping[str, object]) -> None:
                content = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None: ...

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate, certificate.with_suffix(".key"))
            server.socket = context.wrap_socket(server.socket, server_side=True)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        directory.url = f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}"
        return directory

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def settings(storage: TlsAzurite, certificate: Path) -> dict[str, str]:
    """The connection `Store` by its addresses, and what makes its certificate known."""
    return {
        "Store__blobServiceUri": storage.blob_endpoint,
        "Store__queueServiceUri": storage.queue_endpoint,
        "SSL_CERT_FILE": str(certificate),
        "REQUESTS_CA_BUNDLE": str(certificate),
    }


def managed(directory: Directory, **more: str) -> dict[str, str]:
    """The settings of a managed identity, and the variables that App Service has."""
    named = {f"Store__{key}": value for key, value in more.items()}
    where = {"IDENTITY_ENDPOINT": f"{directory.url}/msi/token", "IDENTITY_HEADER": HEADER}
    return {"Store__credential": "managedidentity", **named, **where}


def printed(code: str, settings: Mapping[str, str]) -> list[str]:
    """What a new Python prints that runs `code`; it complains of nothing, such as connections left open."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PRELUDE + code],
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return done.stdout.splitlines()


PRELUDE = """
import asyncio, os, uuid
from fnpack_triggers.blob.account import blocking_blobs, open_blobs, open_queue
from fnpack_triggers.blob.faults import translated
from fnpack_triggers.connections import StorageConnection
from fnpack_triggers.errors import FnpackError

connection = StorageConnection.find(os.environ, "Store")
name = f"identity-{uuid.uuid4().hex}"
"""
USE = """
async def use():
    async with open_blobs(connection) as service, open_blobs(connection) as other:
        container = await service.create_container(name)
        await container.upload_blob("a.json", b"[1]")
        print([blob.name async for blob in other.get_container_client(name).list_blobs()])
        print(await (await container.download_blob("a.json")).readall())
        queue = open_queue(connection, name)
        await queue.create_queue()
        await queue.send_message("poison")
        print([message.content async for message in queue.receive_messages()])
        await queue.close()
        await other.create_container(name + "-2")

asyncio.run(use())
"""
USED = ["['a.json']", "b'[1]'", "['cG9pc29u']"]
AGAIN = """
asyncio.run(use())
"""
BLOCKING = """
with blocking_blobs(connection) as service:
    service.create_container(name).upload_blob("a.json", b"[1]")
    print(service.get_blob_client(name, "a.json").download_blob().readall())
"""
REFUSED = """
async def use():
    async with open_blobs(connection) as service:
        try:
            with translated("list", connection.account):
                await service.create_container(name)
        except FnpackError as error:
            print(type(error).__name__, error.code, error, "|", error.hint)

asyncio.run(use())
"""


def test_blobs_and_queues_open_with_a_managed_identity_and_ask_for_one_token(directory_of, settings):
    directory = directory_of()
    assert printed(USE, {**settings, **managed(directory)}) == USED
    assert directory.asked == [{"api-version": "2019-08-01", "resource": STORAGE}]


def test_last_client_closes_the_credential_and_the_next_one_signs_in_anew(directory_of, settings):
    directory = directory_of()
    code = USE + 'name = f"identity-{uuid.uuid4().hex}"' + AGAIN
    assert printed(code, {**settings, **managed(directory)}) == [*USED, *USED]
    assert len(directory.asked) == 2


@pytest.mark.parametrize("code", [USE, BLOCKING])
@pytest.mark.parametrize(
    ("key", "value", "parameter"),
    [
        ("clientId", "1-2", "client_id"),
        ("managedIdentityResourceId", "/subscriptions/1/resourceGroups/g", "mi_res_id"),
    ],
)
def test_identity_is_asked_for_by_the_name_it_was_given(directory_of, settings, code, key, value, parameter):
    directory = directory_of()
    printed(code, {**settings, **managed(directory, **{key: value})})
    assert [query.get(parameter) for query in directory.asked] == [value]


def test_commands_open_blobs_with_the_same_settings(directory_of, settings):
    directory = directory_of()
    assert printed(BLOCKING, {**settings, **managed(directory)}) == ["b'[1]'"]
    assert len(directory.asked) == 1


def test_without_a_word_of_the_credential_the_machines_own_identity_is_found(directory_of, settings):
    directory = directory_of()
    found = {key: value for key, value in managed(directory).items() if not key.startswith("Store__")}
    assert printed(USE, {**settings, **found}) == USED
    assert len(directory.asked) == 1


def test_application_signs_in_with_its_secret(directory_of, settings):
    directory = directory_of(tls=True)
    assert printed(USE, {**settings, **application(directory)}) == USED
    (asked,) = directory.asked
    assert (asked["path"], asked["client_id"], asked["client_secret"], asked["scope"]) == (
        f"/{TENANT}/oauth2/v2.0/token", "app", SECRET, f"{STORAGE}/.default"
    )  # fmt: skip


def application(directory: Directory) -> dict[str, str]:
    return {
        "Store__tenantId": TENANT,
        "Store__clientId": "app",
        "Store__clientSecret": SECRET,
        "AZURE_AUTHORITY_HOST": directory.url,
    }


def test_directory_that_refuses_the_secret_is_quoted_without_it(directory_of, settings):
    error = {
        "error": "invalid_client",
        "error_description": f"AADSTS7000215: Invalid client secret {SECRET}.",
    }
    directory = directory_of(tls=True, refusal=(401, error))
    (line,) = printed(REFUSED, {**settings, **application(directory)})
    assert line.startswith("StorageRefused FN142 the connection `Store` cannot sign in as application app: ")
    assert "AADSTS7000215" in line
    assert SECRET not in line


def test_missing_identity_is_a_refusal_that_says_which_connection(directory_of, settings):
    directory = directory_of(refusal=(400, {"statusCode": 400, "message": "No identity found"}))
    (line,) = printed(REFUSED, {**settings, **managed(directory, clientId="1-2")})
    assert line.startswith(
        "StorageRefused FN142 the connection `Store` cannot sign in as managed identity 1-2: "
    )
    assert HEADER not in line


def test_directory_that_cannot_be_reached_is_an_outage_and_no_refusal(directory_of, settings):
    gone = application(Directory(url="https://127.0.0.1:9"))
    (line,) = printed(REFUSED, {**settings, **gone})
    assert line.startswith(
        "StorageUnavailable FN141 the connection `Store` cannot sign in as application app: "
    )


def test_token_that_storage_does_not_take_is_a_refusal_that_names_the_role(directory_of, settings):
    directory = directory_of(audience="https://vault.azure.net")
    (line,) = printed(REFUSED, {**settings, **managed(directory)})
    assert line.startswith("StorageRefused FN142 storage account `devstoreaccount1` refused to list")
    assert "Storage Blob Data Contributor" in line


def test_certificate_of_a_stranger_is_never_accepted(directory_of, settings):
    directory = directory_of()
    strange = {key: value for key, value in settings.items() if key.startswith("Store__")}
    (line,) = printed(REFUSED, {**strange, **managed(directory)})
    assert line.startswith("StorageUnavailable FN141 ")


# --- the whole way ---

SCRIPT = """
import json


def init():
    pass


def run(data):
    return {"sum": sum(json.loads(data)["numbers"])}
"""


@pytest.fixture
def owner(storage: TlsAzurite, certificate: Path) -> Iterator[BlobServiceClient]:
    """The account by its key, to look at what the host did."""
    with BlobServiceClient(
        storage.blob_endpoint, ACCOUNT_KEY, connection_verify=str(certificate), retry_total=0
    ) as service:
        yield service


@pytest.mark.timeout(180)
def test_host_runs_blobs_reports_failures_and_keeps_keys_with_an_identity_alone(
    directory_of, settings, storage, certificate, owner, scoring_app, start_host, wait_until
):
    mark = uuid.uuid4().hex[:8]
    directory = directory_of()
    given, out = owner.create_container(f"in-{mark}"), owner.create_container(f"out-{mark}")
    trigger = BlobTrigger(f"in-{mark}/{{name}}.json", f"out-{mark}/{{name}}_out.json", connection="Store")
    app = scoring_app(SCRIPT, triggers=(trigger, HttpTrigger("function")))
    environ = {
        **settings,
        **managed(directory, clientId="1-2"),
        "AzureFunctionsJobHost__extensions__blobs__poisonBlobThreshold": "1",
    }
    host = start_host(app, "--enable-auth", settings=environ)
    given.upload_blob("good.json", b'{"numbers": [1, 2]}')
    given.upload_blob("bad.json", b"{}")
    wait_until(
        lambda: out.get_blob_client("good_out.json").exists(), 20, what=f"good_out.json in:\n{host.log}"
    )
    assert json.loads(out.download_blob("good_out.json").readall()) == {"sum": 3}
    with QueueClient(
        storage.queue_endpoint,
        "webjobs-blobtrigger-poison",
        {"account_name": ACCOUNT, "account_key": ACCOUNT_KEY},
        connection_verify=str(certificate),
        retry_total=0,
    ) as poison:
        host.wait_log("webjobs-blobtrigger-poison")
        (message,) = wait_until(lambda: list(peeked(poison, mark)), 20, what="a poison message")
    assert message["BlobName"] == "bad.json"
    assert [one.name for one in owner.get_container_client("azure-webjobs-secrets").list_blobs()]

    invoke = [
        sys.executable,
        "-m",
        "fnpack",
        "invoke",
        str(app),
        "--function",
        "score-blob",
        "--blob-name",
        "b.json",
    ]
    done = subprocess.run(
        [*invoke, "--data", '{"numbers": [4]}'],
        env={**os.environ, **environ}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, json.loads(done.stdout or "null")) == (0, {"sum": 4}), done.stderr

    assert host.stop() == 0
    assert "Unclosed" not in host.log
    assert HEADER not in host.log
    assert {query["client_id"] for query in directory.asked} == {"1-2"}
    assert (
        len(directory.asked) <= 4
    )  # the host's keys, its trigger, the command, and one to spare; not one for each call


def peeked(queue: QueueClient, mark: str) -> Iterator[dict[str, str]]:
    for message in queue.peek_messages(max_messages=32):
        body = json.loads(base64.b64decode(message.content))
        if body["ContainerName"] == f"in-{mark}":
            yield body


def test_host_that_gets_no_token_does_not_start_and_says_why(directory_of, settings, scoring_app, start_host):
    directory = directory_of(refusal=(400, {"statusCode": 400, "message": "No identity found"}))
    app = scoring_app(SCRIPT, triggers=(BlobTrigger("input/{name}", "output/{name}", connection="Store"),))
    host = start_host(app, settings={**settings, **managed(directory)}, ready=False)
    assert host.process.wait(30) != 0
    assert "FN130" in host.log
    assert (
        "the connection setting `Store` does not work: the connection `Store` cannot sign in as managed identity"
        in host.log
    )
