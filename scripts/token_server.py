"""A token server for a registry, small but with the rules of real ones: passwords, identities, Azure's exchange."""

from __future__ import annotations

import base64
import datetime
import json
import time
import uuid
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

from loopback_server import LoopbackServer


@dataclass
class TokenServer(LoopbackServer):
    """Signs what `rights` allow: user -> repository prefix -> actions; \"\" is everybody.

    `strict` refuses a request of which any part is not allowed, else the token is for the rest. `asked` are the scopes
    of each request, `paths` its method and path.
    """

    folder: Path
    users: dict[str, str] = field(default_factory=dict)
    rights: dict[str, dict[str, set[str]]] = field(default_factory=dict)
    identity_tokens: dict[str, str] = field(default_factory=dict)  # token -> user
    directory_tokens: dict[str, str] = field(default_factory=dict)
    lifetime_s: int = 300
    strict: bool = False
    asked: list[list[str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test tokens")])
        now = datetime.datetime.now(datetime.timezone.utc)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self._key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self._certificate = base64.b64encode(certificate.public_bytes(serialization.Encoding.DER)).decode()
        self.bundle = self.folder / "tokens.pem"
        self.bundle.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        super().__init__(_Handler)

    @property
    def auth(self) -> str:
        """The registry's section `auth`."""
        return (
            f'{{token: {{realm: "{self.url}/oauth2/token", service: test-registry, issuer: test-issuer, '
            f"rootcertbundle: {self.bundle}}}}}"
        )

    @property
    def url(self) -> str:
        """Where the server is."""
        return f"http://{self.address}"

    def allowed(self, user: str, scopes: list[str]) -> list[dict[str, object]]:
        """What a token may say, of what was asked for."""
        granted: list[dict[str, object]] = []
        for scope in scopes:
            kind, _, rest = scope.partition(":")
            name, _, actions = rest.rpartition(":")
            may = {
                action
                for who in {"", user}
                for prefix, some in self.rights.get(who, {}).items()
                if name.startswith(prefix)
                for action in some
            }
            granted.append({"type": kind, "name": name, "actions": sorted(may & set(actions.split(",")))})
        return granted

    def token(self, user: str, access: list[dict[str, object]]) -> str:
        """A signed JWT as distribution reads it."""
        now = int(time.time())
        head = {"typ": "JWT", "alg": "RS256", "x5c": [self._certificate]}
        claims = {
            "iss": "test-issuer",
            "sub": user,
            "aud": "test-registry",
            "exp": now + self.lifetime_s,
            "nbf": now - 10,
            "iat": now,
            "jti": str(uuid.uuid4()),
            "access": access,
        }
        text = ".".join(_encoded(json.dumps(part).encode()) for part in (head, claims))
        return f"{text}.{_encoded(self._key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class _Handler(BaseHTTPRequestHandler):
    owner: TokenServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = parse_qs(parts.query)
        self.owner.paths.append(f"GET {parts.path}")
        user = ""
        authorization = self.headers.get("Authorization") or ""
        if authorization.startswith("Basic "):
            user, _, password = base64.b64decode(authorization[6:]).decode().partition(":")
            if self.owner.users.get(user) != password:
                self._reply(401, {"details": "incorrect username or password"})
                return
        self._grant(user, query.get("scope", []))

    def do_POST(self) -> None:
        path = urlsplit(self.path).path
        self.owner.paths.append(f"POST {path}")
        form = parse_qs(self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode())

        def value(name: str) -> str:
            return form.get(name, [""])[0]

        if path == "/oauth2/exchange":
            if (
                value("grant_type") != "access_token"
                or value("access_token") not in self.owner.directory_tokens
            ):
                self._reply(401, {"errors": [{"code": "UNAUTHORIZED", "message": "no such directory token"}]})
                return
            refresh = f"refresh-{uuid.uuid4()}"
            self.owner.identity_tokens[refresh] = self.owner.directory_tokens[value("access_token")]
            self._reply(200, {"refresh_token": refresh})
        elif value("grant_type") == "refresh_token" and value("refresh_token") in self.owner.identity_tokens:
            scopes = [scope for text in form.get("scope", []) for scope in text.split()]
            self._grant(self.owner.identity_tokens[value("refresh_token")], scopes)
        else:
            self._reply(401, {"errors": [{"code": "UNAUTHORIZED", "message": "no such identity token"}]})

    def _grant(self, user: str, scopes: list[str]) -> None:
        self.owner.asked.append(sorted(scopes))
        access = self.owner.allowed(user, scopes)
        wanted = [sorted(scope.rpartition(":")[2].split(",")) for scope in scopes]
        if self.owner.strict and wanted != [one["actions"] for one in access]:
            self._reply(401, {"details": "insufficient rights"})
            return
        token = self.owner.token(user, access)
        self._reply(200, {"token": token, "access_token": token, "expires_in": self.owner.lifetime_s})

    def _reply(self, status: int, content: object) -> None:
        data = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
