"""The Authorization header for one registry: Basic, or Bearer with tokens of the right scopes, renewed as they expire.

Tokens are kept on disk until they expire; names and passwords are in memory alone. A login is looked for when a
registry asks for one, never before, unless it asked in an earlier run.
"""

from __future__ import annotations

import json
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Mapping
from typing import NamedTuple, cast
from urllib.parse import quote, urlencode

from fnpack.registry import credentials
from fnpack.registry.addresses import Address, is_sendable
from fnpack.registry.challenges import Challenge, Scopes, covers, merged
from fnpack.registry.credentials import Credential, Found
from fnpack.registry.errors import RegistryError, RegistryUnauthorised, TlsFailed, quoted
from fnpack.registry.memory import Memory
from fnpack.registry.settings import RegistrySettings
from fnpack.registry.transport import Response

_MARGIN_S = 20.0  # a token that expires within this is not used any more
_LIFETIME_S = 60.0  # of a token that does not say; the protocol's number
_LARGEST_ANSWER_BYTES = 1024 * 1024
Send = Callable[[str, Address, Mapping[str, str], bytes | None], Response]


class Token(NamedTuple):
    """A bearer token, what it is for, and until when (seconds since 1970). `repr` leaves its text out."""

    scopes: Scopes
    expires_at: float
    text: str
    is_kept: bool = False  # from an earlier run

    def __repr__(self) -> str:
        """Without the text."""
        return f"Token(scopes={self.scopes!r}, expires_at={self.expires_at!r}, is_kept={self.is_kept!r})"


class Authorisation:
    """Who we are to one registry. Several threads may use it; one at a time asks for a token."""

    def __init__(self, registry: str, settings: RegistrySettings, memory: Memory, send: Send) -> None:
        """`send` sends a request that carries no Authorization of ours and is tried again where that may help."""
        self._registry, self._settings, self._memory, self._send = registry, settings, memory, send
        self._lock = threading.RLock()
        self._file = f"tokens/{quote(registry, safe='')}.json"
        self._challenge: Challenge | None = None
        self._tokens: list[Token] = []
        self._found: dict[str, Found] = {}  # by repository: podman's logins may be for a part of a registry
        self._azure_failure: str | None = None
        self._signature = ""
        self._loaded = False

    def header(self, repository: str, scopes: Scopes) -> str | None:
        """What to send with a request, as far as is known before it is sent; None for nothing."""
        with self._lock:
            self._load()
            challenge = self._challenge
            if challenge is None:
                return None
            if challenge.scheme == "basic":
                return _basic(self._credential(repository))
            return f"Bearer {self._token(challenge, repository, scopes).text}"

    def answer(
        self, challenge: Challenge | None, repository: str, scopes: Scopes, refused: str | None
    ) -> str:
        """What to send after a 401 for a request that carried `refused`.

        Raises RegistryUnauthorised where there is nothing better, and the token server's failures.
        """
        with self._lock:
            if challenge is None:
                raise self.unauthorised(repository, "it asks for a kind of login that is not known")
            self._tokens = [token for token in self._tokens if refused != f"Bearer {token.text}"]
            self._challenge = Challenge(challenge.scheme, challenge.realm, challenge.service)
            if challenge.scheme == "basic":
                header = _basic(self._credential(repository))
                if header is None or header == refused:
                    self._challenge = None  # so that the next run asks anew
                    self._save()
                    raise self.unauthorised(repository)
                self._save()
                return header
            wanted = merged([*scopes, *challenge.scopes])
            return f"Bearer {self._token(self._challenge, repository, wanted).text}"

    def forget_kept(self, refused: str) -> bool:
        """Drop a token that an earlier run kept and that was not enough; whether it was one."""
        with self._lock:
            kept = [token for token in self._tokens if token.is_kept and refused == f"Bearer {token.text}"]
            self._tokens = [token for token in self._tokens if token not in kept]
            return bool(kept)

    def tried(self, repository: str) -> tuple[str, ...]:
        """Where a login was looked for and found, in words."""
        found = self._found.get(repository)
        places = list(found.tried) if found else []
        if self._azure_failure:
            places.append(f"Azure AD: {self._azure_failure}")
        if not self.has_login(repository):
            places.append("without a login")
        return tuple(places)

    def has_login(self, repository: str) -> bool:
        """Whether a login was found, and so used."""
        found = self._found.get(repository)
        return found is not None and found.credential is not None

    def unauthorised(self, repository: str, answer: str | None = None) -> RegistryUnauthorised:
        """The error for a registry that takes nothing that we have."""
        return RegistryUnauthorised(self._registry, repository, self.tried(repository), answer)

    def _token(self, challenge: Challenge, repository: str, scopes: Scopes) -> Token:
        deadline = time.time() + _MARGIN_S
        self._tokens = [token for token in self._tokens if token.expires_at > deadline]
        for token in self._tokens:
            if covers(token.scopes, scopes):
                return token
        token = self._fetch(challenge, repository, scopes)
        self._tokens.append(token)
        self._save()
        return token

    def _fetch(self, challenge: Challenge, repository: str, scopes: Scopes) -> Token:
        realm = self._realm(challenge)
        credential = self._credential(repository) or self._from_directory(realm, repository)
        if credential is not None and credential.identity_token:
            response = self._by_identity(realm, challenge, credential.identity_token, scopes)
        else:
            query = [("service", challenge.service)] if challenge.service else []
            query += [("scope", scope) for scope in sorted(scopes)]
            if credential is not None:
                query.append(("account", credential.username))
            header = _basic(credential)
            headers = {"Authorization": header} if header else {}
            address = realm.with_query(urlencode(query, safe=":,/*")) if query else realm
            response = self._send("GET", address, headers, None)
        answer = self._json(response, repository)
        text = answer.get("token") or answer.get("access_token")
        if not isinstance(text, str) or not text or not is_sendable(text):
            raise RegistryError(f"the token server `{realm.netloc}` gave no token", registry=self._registry)
        lifetime = answer.get("expires_in")
        lifetime_s = float(lifetime) if isinstance(lifetime, int | float) and lifetime > 0 else _LIFETIME_S
        return Token(scopes, time.time() + lifetime_s, text)

    def _by_identity(
        self, realm: Address, challenge: Challenge, identity_token: str, scopes: Scopes
    ) -> Response:
        form = {
            "grant_type": "refresh_token",
            "service": challenge.service,
            "client_id": "fnpack",
            "scope": " ".join(sorted(scopes)),
            "refresh_token": identity_token,
        }
        return self._post(realm, form)

    def _from_directory(self, realm: Address, repository: str) -> Credential | None:
        """A refresh token of an Azure registry, exchanged for one of the directory."""
        from fnpack.registry.azure import NoDirectoryToken, directory_token, is_azure

        if not is_azure(self._registry, self._settings):
            return None
        try:
            token = directory_token(self._settings)
        except NoDirectoryToken as exc:
            self._azure_failure = str(exc)
            return None
        form = {"grant_type": "access_token", "service": self._registry, "access_token": token}
        response = self._post(realm.to("/oauth2/exchange"), form)
        if response.status != 200:
            self._azure_failure = f"the registry does not take its token ({response.status})"
            response.close()
            return None
        answer = self._json(response, repository)
        refresh = answer.get("refresh_token")
        if not isinstance(refresh, str) or not refresh:
            self._azure_failure = "the registry gave no token for it"
            return None
        credential = Credential("Azure AD", identity_token=refresh)
        self._found[repository] = Found(credential, (*self._found[repository].tried, "Azure AD"))
        return credential

    def _post(self, address: Address, form: Mapping[str, str]) -> Response:
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        return self._send("POST", address, headers, urlencode(form).encode())

    def _json(self, response: Response, repository: str) -> dict[str, object]:
        netloc = response.address.netloc
        # servers differ in what they answer to a login that they do not take
        if response.status in (400, 401, 403, 404):
            text = quoted(response.text())
            said = f"the token server `{netloc}` answered {response.status}" + (f": {text}" if text else "")
            raise self.unauthorised(repository, said)
        if response.status != 200:
            said = quoted(response.text())
            raise RegistryError(
                f"the token server `{netloc}` answered {response.status}: {said}", registry=self._registry
            )
        data = response.read(_LARGEST_ANSWER_BYTES)
        response.close()
        try:
            answer = json.loads(data)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise RegistryError(
                f"the token server `{netloc}` did not answer in JSON", registry=self._registry
            )
        return cast("dict[str, object]", answer)

    def _realm(self, challenge: Challenge) -> Address:
        realm = Address.parse(challenge.realm)
        if not realm.is_private and self._registry not in self._settings.insecure:
            raise TlsFailed(
                f"`{self._registry}` wants its login sent to `{realm.netloc}` without TLS",
                registry=self._registry,
                hint="Its administrator must give the token server an https address.",
            )
        return realm

    def _credential(self, repository: str) -> Credential | None:
        if repository not in self._found:
            self._found[repository] = credentials.find(self._registry, repository, self._settings)
        return self._found[repository].credential

    def _load(self) -> None:
        """Read what an earlier run kept, if the places for logins have not changed since."""
        if self._loaded:
            return
        self._loaded = True
        self._signature = credentials.signature(self._registry, self._settings)
        kept = self._memory.read(self._file)
        if kept.get("signature") != self._signature:
            return
        try:
            if kept["scheme"] in ("basic", "bearer"):
                self._challenge = Challenge(kept["scheme"], str(kept["realm"]), str(kept["service"]))
            for one in cast("list[dict[str, object]]", kept["tokens"]):
                scopes = frozenset(str(scope) for scope in cast("list[object]", one["scopes"]))
                expires_at, text = float(cast("float", one["expires_at"])), str(one["text"])
                if is_sendable(text):
                    self._tokens.append(Token(scopes, expires_at, text, is_kept=True))
        except (KeyError, TypeError, ValueError):
            self._challenge, self._tokens = None, []

    def _save(self) -> None:
        challenge = self._challenge
        if challenge is None:
            self._memory.remove(self._file)
            return
        if not self._loaded:
            self._loaded = True
            self._signature = credentials.signature(self._registry, self._settings)
        tokens = [
            {"scopes": sorted(token.scopes), "expires_at": token.expires_at, "text": token.text}
            for token in self._tokens
        ]
        kept: dict[str, object] = {
            "signature": self._signature,
            "scheme": challenge.scheme,
            "realm": challenge.realm,
            "service": challenge.service,
            "tokens": tokens,
        }
        self._memory.write(self._file, kept)


def _basic(credential: Credential | None) -> str | None:
    if credential is None or not credential.username:
        return None
    return "Basic " + b64encode(f"{credential.username}:{credential.password}".encode()).decode()
