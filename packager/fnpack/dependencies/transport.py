"""Plain HTTP for fetching packages: kept connections, proxies, private certificates, logins, redirects. No retries."""

from __future__ import annotations

import base64
import ssl
import threading
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from urllib.parse import SplitResult, unquote, urljoin, urlsplit

import fnpack
from fnpack.dependencies.credentials import Credentials, Login
from fnpack.dependencies.errors import PackageIndexRefused
from fnpack.dependencies.index import PackageIndex, without_login

_TIMEOUT_S = 30
_MOST_REDIRECTS = 5
_REDIRECTS = {301, 302, 303, 307, 308}


class AnswerError(Exception):
    """The server answered, and not with the file."""

    def __init__(self, status: int, reason: str, retry_after_s: float | None) -> None:
        super().__init__(f"HTTP {status} {reason}".rstrip())
        self.status, self.retry_after_s = status, retry_after_s


class Transport:
    """Fetches with one kept connection per thread and server. Network failures leave as OSError or HTTPException."""

    def __init__(self, index: PackageIndex) -> None:
        self._index = index
        self._credentials = Credentials(index)
        self._tls: dict[bool, ssl.SSLContext] = {}
        self._tls_lock = threading.Lock()
        self._local = threading.local()
        self._open: list[HTTPConnection] = []
        self.used_keyring = False  # whether a login of the keyring was accepted

    def close(self) -> None:
        """Close every connection of every thread."""
        for connection in self._open:
            connection.close()

    @contextmanager
    def get(self, url: str, *, offset: int = 0, accept: str = "*/*") -> Iterator[HTTPResponse]:
        """The answer to a GET, from the byte `offset` on if the server can (status 206). Raises AnswerError."""
        headers = {
            "Accept": accept,
            "Accept-Encoding": "identity",
            "User-Agent": f"fnpack/{fnpack.__version__}",
        }
        if offset:
            headers["Range"] = f"bytes={offset}-"
        response = self._follow(url, headers)
        try:
            yield response
        except BaseException:
            self._forget(response)
            raise
        if not response.isclosed():  # what was not read to its end cannot be used again
            self._forget(response)

    def _follow(self, url: str, headers: Mapping[str, str]) -> HTTPResponse:
        for _ in range(_MOST_REDIRECTS):
            response = self._ask(url, headers)
            if response.status in _REDIRECTS and response.headers["Location"]:
                response.read()
                url = urljoin(without_login(url), response.headers["Location"])
                if urlsplit(url).scheme not in {"http", "https"}:
                    raise AnswerError(response.status, "redirects to what is no web address", None)
                continue
            if response.status in {200, 206}:
                return response
            after = response.headers["Retry-After"] or ""
            response.read()
            raise AnswerError(response.status, response.reason, float(after) if after.isdecimal() else None)
        raise AnswerError(310, "too many redirects", None)

    def _ask(self, url: str, headers: Mapping[str, str]) -> HTTPResponse:
        """Send with the login that is known, and once more with the keyring's where that is refused."""
        response = self._send(url, headers, self._credentials.known(url))
        if response.status not in {401, 403}:
            return response
        status, reason = response.status, response.reason
        response.read()
        login = self._credentials.from_keyring(url)
        if login is not None:
            response = self._send(url, headers, login)
            if response.status not in {401, 403}:
                self.used_keyring = True
                return response
            response.read()
        host = urlsplit(url).hostname
        raise PackageIndexRefused(
            f"{host} refused to give a package: HTTP {status} {reason}"
            + ("" if self._credentials.known(url) or login else "; no login for it was found"),
            hint=f"put the login for {host} into netrc, the keyring, or the index's address in pip's or uv's settings",
        )

    def _send(self, url: str, headers: Mapping[str, str], login: Login | None) -> HTTPResponse:
        parts = urlsplit(url)
        sent = dict(headers)
        if login is not None:
            sent["Authorization"] = login.header
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        proxy = self._proxy(parts)
        if proxy is not None and parts.scheme == "http":
            target = f"http://{parts.netloc.rpartition('@')[2]}{target}"
            sent |= _proxy_login(proxy)
        for attempt in (1, 2):
            connection, is_kept = self._connection(parts, proxy)
            try:
                connection.request("GET", target, headers=sent)
                return connection.getresponse()
            except (OSError, HTTPException):
                connection.close()
                if attempt == 2 or not is_kept:  # a kept connection may have been closed meanwhile
                    raise
        raise AssertionError("unreachable")

    def _connection(self, parts: SplitResult, proxy: SplitResult | None) -> tuple[HTTPConnection, bool]:
        """This thread's connection to the server, and whether it was used before."""
        kept: dict[tuple[str, str], HTTPConnection] = self._local.__dict__.setdefault("kept", {})
        key = (parts.scheme, parts.netloc.rpartition("@")[2])
        connection = kept.get(key)
        if connection is None:
            connection = kept[key] = self._connect(parts, proxy)
            self._open.append(connection)
        return connection, connection.sock is not None

    def _connect(self, parts: SplitResult, proxy: SplitResult | None) -> HTTPConnection:
        host, port = parts.hostname or "", parts.port
        timeout = self._index.timeout_s or _TIMEOUT_S
        at = (proxy.hostname or "", proxy.port) if proxy is not None else (host, port)
        if parts.scheme == "http":
            return HTTPConnection(*at, timeout=timeout)
        connection = HTTPSConnection(*at, timeout=timeout, context=self._context(parts))
        if proxy is not None:
            connection.set_tunnel(host, port or 443, headers=_proxy_login(proxy))
        return connection

    def _context(self, parts: SplitResult) -> ssl.SSLContext:
        """One for all threads: to read the certificates takes as long as to fetch a small wheel."""
        trusted = {parts.hostname, parts.netloc.rpartition("@")[2]} & set(self._index.trusted_hosts)
        with self._tls_lock:
            if bool(trusted) not in self._tls:
                self._tls[bool(trusted)] = self._new_context(is_trusted=bool(trusted))
            return self._tls[bool(trusted)]

    def _new_context(self, *, is_trusted: bool) -> ssl.SSLContext:
        context = ssl.create_default_context()
        certificate = self._index.certificate
        if certificate and str(certificate) != ssl.get_default_verify_paths().cafile:
            context.load_verify_locations(cafile=certificate)
        if is_trusted:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context

    def _proxy(self, parts: SplitResult) -> SplitResult | None:
        if urllib.request.proxy_bypass(parts.netloc.rpartition("@")[2]):
            return None
        url = self._index.proxy or urllib.request.getproxies().get(parts.scheme)
        return urlsplit(url if "://" in url else f"http://{url}") if url else None

    def _forget(self, response: HTTPResponse) -> None:
        """Drop this thread's connections: one of them is in the middle of `response`."""
        response.close()
        for connection in self._local.__dict__.get("kept", {}).values():
            connection.close()


def _proxy_login(proxy: SplitResult) -> dict[str, str]:
    if proxy.username is None:
        return {}
    user = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return {"Proxy-Authorization": "Basic " + base64.b64encode(user.encode()).decode()}
