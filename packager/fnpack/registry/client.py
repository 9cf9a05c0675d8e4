"""One registry, and all registries of a build: requests with the right login, tried again where that may help.

It knows statuses and headers, not what blobs and manifests are.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Collection, Mapping
from types import TracebackType
from urllib.parse import quote

from fnpack.registry.addresses import PORTS, Address, is_loopback
from fnpack.registry.authorization import Authorisation
from fnpack.registry.backoff import TRY_AGAIN, Backoff, asked_pause_s
from fnpack.registry.challenges import Scopes, challenge_in, merged, scope
from fnpack.registry.errors import (
    DigestMismatch,
    ImageNotFound,
    RateLimited,
    RegistryDenied,
    RegistryError,
    RegistryUnauthorised,
    TlsFailed,
    TooLarge,
    TransferBroken,
    login_hint,
    quoted,
)
from fnpack.registry.memory import Memory
from fnpack.registry.reference import Reference
from fnpack.registry.settings import RegistrySettings
from fnpack.registry.transport import Body, Request, Response, Transport

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_LONGEST_CHAIN = 5


class Registries:
    """The registries that one build talks to; a context manager, which ends all connections.

    Connections, tokens and what was learnt of a registry are shared by all that uses one of these.
    """

    def __init__(self, settings: RegistrySettings | None = None) -> None:
        """`settings` are by default those that the environment gives."""
        self.settings = settings or RegistrySettings.discover()
        self.memory = Memory(self.settings.cache)
        self.transport = Transport(self.settings)
        self.cancelled = threading.Event()
        self._lock = threading.Lock()
        self._registries: dict[str, Registry] = {}

    def of(self, reference: Reference) -> Registry:
        """The registry of a reference."""
        with self._lock:
            if reference.registry not in self._registries:
                self._registries[reference.registry] = Registry(reference, self)
            return self._registries[reference.registry]

    def intend(self, target: Reference, *sources: Reference) -> None:
        """Say beforehand what will be pushed, and from where blobs may be mounted: one token will do for all."""
        scopes = [scope(target.repository, "pull", "push")]
        scopes += [
            scope(source.repository, "pull") for source in sources if source.registry == target.registry
        ]
        registry = self.of(target)
        registry.intended = merged(one for some in (registry.intended, *scopes) for one in some)

    def close(self) -> None:
        """End all connections and pauses, also those of other threads."""
        self.cancelled.set()
        self.transport.close()

    def __enter__(self) -> Registries:
        """These."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave no connection."""
        self.close()


class Registry:
    """One registry: its scheme, its login, and requests to it."""

    def __init__(self, reference: Reference, registries: Registries) -> None:
        self.name = reference.registry
        self._host = reference.host
        self._settings = registries.settings
        self._transport = registries.transport
        self._cancelled = registries.cancelled
        self._authorisation = Authorisation(self.name, self._settings, registries.memory, self._send_plainly)
        self._lock = threading.Lock()
        self._base: Address | None = None
        self._scheme_is_certain = False
        self.refuses_chunks = False  # learnt in this run
        self.intended: Scopes = frozenset()  # asked for along with what a request needs

    def request(
        self,
        method: str,
        target: str | Address,
        *,
        repository: str,
        scopes: Scopes,
        expect: Collection[int],
        headers: Mapping[str, str] | None = None,
        body: Body | bytes | None = None,
        timeout_s: float | None = None,
        action: str = "reading",
        once: bool = False,
    ) -> Response:
        """A request to `target` (a path, or an address that the registry gave); returns an answer of status `expect`.

        Any other answer is raised as the error it means. With `once`, what may work in a moment is raised too, for
        callers that must look first how far they came.
        """
        backoff = Backoff(self._settings, self._cancelled)
        while True:
            known = True
            try:
                address = self.address(target) if isinstance(target, str) else target
                known = address.origin in self._transport.answered
                request = Request(method, address, headers or {}, body, timeout_s)
                response = self._authorised(request, repository, scopes, action)
                if response.status in expect:
                    return response
                raise self.failure(response, repository, action)
            except RegistryError as exc:
                if once:
                    raise
                # a host that never answered is more likely a wrong name than one that is gone for a moment
                backoff.pause(exc, attempts=None if known else 2)

    def address(self, path: str) -> Address:
        """Where a path of the API is; finds out whether the registry speaks TLS."""
        with self._lock:
            if self._base is None:
                self._base = self._first_base()
            return self._base.to(path)

    def failure(self, response: Response, repository: str, action: str) -> RegistryError:
        """The error that an answer means. Its body is read and the connection released."""
        text = response.text()
        error = self._failure(response.status, text, repository, action)
        error.status, error.answer_code = response.status, _errors_in(text)[0]
        error.may_pass = response.status in TRY_AGAIN
        error.asked_s = asked_pause_s(response.header("Retry-After"))
        if isinstance(error, RateLimited) and error.asked_s:
            error.args = (f"{error}; it wants a pause of {error.asked_s:.0f} s",)
        return error

    def _failure(self, status: int, text: str, repository: str, action: str) -> RegistryError:
        code, said = _errors_in(text)
        where: dict[str, str] = {"registry": self.name, "repository": repository}
        named, says = f"{self.name}/{repository}", _says(said)
        if code == "DIGEST_INVALID":
            said = f"`{named}`: the registry got other bytes than their digest promises"
            return DigestMismatch(said, hint=_HINT_DIGEST, **where)
        if status == 401:
            return self._authorisation.unauthorised(repository, said)
        if status == 403 or code == "DENIED":
            return RegistryDenied(self.name, repository, action, self._authorisation.tried(repository), said)
        if status == 404:
            return ImageNotFound(f"`{named}` is not in its registry{says}", hint=_HINT_404, **where)
        if status == 413 or code == "SIZE_INVALID":
            return TooLarge(f"`{self.name}` refuses a request of this size{says}", hint=_HINT_413, **where)
        if status == 429:
            hint = f"Try again later. Without a login the limits are lower. {login_hint(self.name)}"
            return RateLimited(f"`{self.name}` asks for fewer requests{says}", hint=hint, **where)
        return RegistryError(
            f"`{self.name}` answered {status} to {action} `{named}`{says}",
            hint=_HINT_5XX if status >= 500 else None,
            **where,
        )

    def _authorised(self, request: Request, repository: str, scopes: Scopes, action: str) -> Response:
        """Send with the login that is known; on a 401 with the one that it asks for, once."""
        if not self._is_ours(request.address):
            return self._send(_with(request, None))
        wider = merged([*scopes, *self.intended])
        try:
            return self._with_login(request, repository, wider, action)
        except RegistryUnauthorised:
            if wider == scopes:
                raise
            self.intended = frozenset()  # a token server may refuse all for one thing that is not allowed
            return self._with_login(request, repository, scopes, action)

    def _with_login(self, request: Request, repository: str, scopes: Scopes, action: str) -> Response:
        header = self._authorisation.header(repository, scopes)
        response = self._send(_with(request, header))
        if response.status == 403 and header and self._authorisation.forget_kept(header):
            response.text()  # the token may be of a time before the right was given
            header = self._authorisation.header(repository, scopes)
            response = self._send(_with(request, header))
        if response.status != 401:
            return response
        challenge = challenge_in(response.headers("WWW-Authenticate"))
        _, said = _errors_in(response.text())
        try:
            better = self._authorisation.answer(challenge, repository, scopes, header or "")
        except RegistryUnauthorised as exc:
            if said and exc.answer is None:
                raise self._authorisation.unauthorised(repository, said) from exc
            raise
        response = self._send(_with(self._again(request), better))
        challenges = " ".join(response.headers("WWW-Authenticate"))
        if (
            response.status == 401
            and "insufficient_scope" in challenges
            and self._authorisation.has_login(repository)
        ):
            _, said = _errors_in(response.text())
            raise RegistryDenied(self.name, repository, action, self._authorisation.tried(repository), said)
        return response

    def _is_ours(self, address: Address) -> bool:
        """Whether this is the registry itself, which may see its login, and not where it keeps its blobs."""
        base = self.address("/")
        return (address.host, address.port) == (base.host, base.port)

    def _again(self, request: Request) -> Request:
        """The request to send again: the scheme may have been found out meanwhile."""
        if not self._is_ours(request.address):
            return request
        return request._replace(address=request.address._replace(scheme=self.address("/").scheme))

    def _send(self, request: Request) -> Response:
        """One request, through redirects. A redirect to another party gets no Authorization."""
        for _ in range(_LONGEST_CHAIN):
            response = self._send_once(request)
            location = response.header("Location")
            if response.status not in _REDIRECTS or not location:
                return response
            response.text()
            target = request.address.join(location)
            if request.address.scheme == "https" and not target.is_private:
                raise TlsFailed(
                    f"`{self.name}` sends us to `{target.netloc}` without TLS", registry=self.name
                )
            headers = request.headers
            if target.origin != request.address.origin:
                headers = {name: value for name, value in headers.items() if name != "Authorization"}
            request = request._replace(address=target, headers=headers)
        raise RegistryError(f"`{self.name}` sends us from one address to the next", registry=self.name)

    def _send_once(self, request: Request) -> Response:
        ours = self._is_ours(request.address)
        verified = self.name not in self._settings.insecure or not ours
        if self._scheme_is_certain or not ours:
            return self._transport.send(request, verified=verified)
        # Plain HTTP comes first on this machine; what answers like a TLS server is one.
        try:
            response = self._transport.send(request, verified=verified)
        except TransferBroken:
            if not self._is_tls_after_all(request.address):
                raise
        else:
            if response.status != 400 or not self._is_tls_after_all(request.address):
                self._scheme_is_certain = True
                return response
            response.text()
        return self._transport.send(self._again(request), verified=verified)

    def _is_tls_after_all(self, address: Address) -> bool:
        if address.scheme == "https" or not self._transport.speaks_tls(address.host, address.port):
            return False
        with self._lock:
            self._base = Address("https", address.host, address.port)
            self._scheme_is_certain = True
        return True

    def _first_base(self) -> Address:
        host, port = _split(self._host)
        insecure, local = self.name in self._settings.insecure, is_loopback(host)
        if not local:
            self._scheme_is_certain = True
        if local and not (insecure and port == PORTS["https"]):
            return Address("http", host, port or PORTS["http"])
        if insecure and not self._transport.speaks_tls(host, port or PORTS["https"]):
            self._scheme_is_certain = True
            return Address("http", host, port or PORTS["http"])
        return Address("https", host, port or PORTS["https"])

    def _send_plainly(
        self, method: str, address: Address, headers: Mapping[str, str], body: bytes | None
    ) -> Response:
        """For token servers: no Authorization but what `headers` hold, and tried again where that may help."""
        verified = self.name not in self._settings.insecure or not self._is_ours(address)
        request = Request(method, address, {**_COMMON, **headers}, body)
        backoff = Backoff(self._settings, self._cancelled)
        while True:
            try:
                response = self._transport.send(request, verified=verified)
                if response.status not in TRY_AGAIN:
                    return response
                raise self._token_server_failure(response)
            except RegistryError as exc:  # noqa: PERF203 - as often as a server fails
                backoff.pause(exc)

    def _token_server_failure(self, response: Response) -> RegistryError:
        said = _says(_errors_in(response.text())[1])
        error = RegistryError(
            f"the token server `{response.address.netloc}` of `{self.name}` answered {response.status}{said}",
            registry=self.name,
        )
        error.may_pass, error.asked_s = True, asked_pause_s(response.header("Retry-After"))
        return error


_COMMON = {"User-Agent": "fnpack", "Accept-Encoding": "identity"}
_HINT_404 = "Check the name, and that it was pushed; some registries say this of what a login may not see."
_HINT_DIGEST = "A file changed while it was pushed, or something on the way changed its bytes; push again."
_HINT_5XX = "The registry failed; its log or its administrator knows why."
_HINT_413 = "The registry, or a proxy before it, limits the size of requests (nginx: client_max_body_size)."


def _with(request: Request, authorisation: str | None) -> Request:
    headers = {**_COMMON, **request.headers}
    return request._replace(headers={**headers, "Authorization": authorisation} if authorisation else headers)


def _says(text: str) -> str:
    return f"; it says: {text}" if text else ""


def _errors_in(text: str) -> tuple[str, str]:
    """(first code, all messages) of a registry's answer; (\"\", its start) of any other that is not a page."""
    try:
        errors = json.loads(text)["errors"]
        codes = [str(error.get("code", "")) for error in errors]
        messages = [str(error.get("message") or error.get("code") or "") for error in errors]
    except (ValueError, KeyError, TypeError, AttributeError):
        return "", "" if text.lstrip().startswith("<") else quoted(text)
    return (codes[0] if codes else ""), quoted("; ".join(dict.fromkeys(filter(None, messages))))


def _split(host: str) -> tuple[str, int | None]:
    """(host without brackets, port) of `host[:port]`."""
    name, colon, port = host.rpartition(":")
    if colon and port.isdecimal() and not name.endswith(":"):
        return name.strip("[]"), int(port)
    return host.strip("[]"), None


def path_of(repository: str, *parts: str) -> str:
    """The path of an API call on a repository."""
    return "/".join(("/v2", repository, *(quote(part, safe=":") for part in parts)))
