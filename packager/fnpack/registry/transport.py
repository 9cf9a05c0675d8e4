"""HTTP/1.1 to registries and what they point at: kept-alive connections, proxies, TLS, time limits.

It knows no registry's API, no login and no second try. http.client and ssl are imported with the first connection.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, Protocol

from fnpack.registry.addresses import Address, is_loopback
from fnpack.registry.errors import (
    ContentChanged,
    ProxyFailed,
    RegistryError,
    RegistryUnreachable,
    TransferBroken,
)
from fnpack.registry.settings import RegistrySettings

if TYPE_CHECKING:
    from http.client import HTTPConnection, HTTPResponse
    from ssl import SSLContext

    from fnpack.registry.proxies import Proxy

BLOCK_BYTES = 256 * 1024
ERROR_TEXT_BYTES = 16 * 1024


class Readable(Protocol):
    """The one thing that a body's stream must do."""

    def readinto(self, buffer: memoryview) -> int:
        """The next bytes, and how many; 0 at the end."""


class Body(NamedTuple):
    """What a request carries: `size_bytes` bytes of the stream that `open` gives anew for each attempt.

    `sent` is told how many bytes each write took.
    """

    size_bytes: int
    open: Callable[[], Readable]
    sent: Callable[[int], None] = lambda _: None


class Request(NamedTuple):
    """What to send where; `timeout_s` is for the answer alone. `repr` shows no header, since one may be a login."""

    method: str
    address: Address
    headers: Mapping[str, str] = {}
    body: Body | bytes | None = None
    timeout_s: float | None = None

    def __repr__(self) -> str:
        """Without headers and body."""
        return f"Request(method={self.method!r}, address={self.address!r}, timeout_s={self.timeout_s!r})"


class Response:
    """An answer. Read it to its end or `close` it; only then its connection serves another request."""

    def __init__(self, raw: HTTPResponse, address: Address, done: Callable[[bool], None]) -> None:
        self.status: int = raw.status
        self.address = address
        self._raw, self._done = raw, done

    def header(self, name: str) -> str | None:
        """A header's value."""
        return self._raw.headers.get(name)

    def headers(self, name: str) -> list[str]:
        """All values of a header."""
        return self._raw.headers.get_all(name) or []

    def read(self, limit: int) -> bytes:
        """The body, all of it if it is no longer than `limit`, else a byte more than that."""
        return self._read(limit + 1)

    def read_into(self, buffer: memoryview) -> int:
        """The body's next bytes; 0 at its end. Raises TransferBroken if that comes too early."""
        import http.client

        try:
            count = self._raw.readinto(buffer)
        except (OSError, http.client.HTTPException) as exc:
            self.close()
            raise _broken(self.address, exc) from exc
        if count == 0 and len(buffer):
            self._at_end()
        return count

    def text(self) -> str:
        """The start of a body that says what is wrong; the connection is released."""
        data = self._read(ERROR_TEXT_BYTES)
        self.close()
        return data.decode("utf-8", "replace")

    def close(self) -> None:
        """Give the connection up, or back where the body was read to its end."""
        self._end(reusable=self._raw.isclosed() or self._raw.length == 0)

    def _read(self, limit: int) -> bytes:
        import http.client

        try:
            data = self._raw.read(limit)
            while len(data) < limit and (more := self._raw.read(limit - len(data))):
                data += more
        except (OSError, http.client.HTTPException) as exc:
            self._end(reusable=False)
            raise _broken(self.address, exc) from exc
        if len(data) < limit:
            self._at_end()
        return data

    def _at_end(self) -> None:
        """No more bytes come; raises TransferBroken if more were announced."""
        is_whole = not self._raw.length
        self._end(reusable=is_whole)
        if not is_whole:
            where = self.address.netloc
            raise TransferBroken(
                f"the connection to `{where}` broke off before its answer was whole", registry=where
            )

    def _end(self, *, reusable: bool) -> None:
        done, self._done = self._done, lambda _: None
        self._raw.close()
        done(reusable and not self._raw.will_close)


class Transport:
    """Sends requests over connections that it keeps alive; several threads may use one."""

    def __init__(self, settings: RegistrySettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._idle: dict[tuple[str, str, int], list[HTTPConnection]] = {}
        self._busy: set[HTTPConnection] = set()
        self._contexts: dict[tuple[str, bool], SSLContext] = {}
        self._closed = False
        self.answered: set[tuple[str, str, int]] = set()  # origins that were there once

    def send(self, request: Request, *, verified: bool = True) -> Response:
        """One request and its answer, whatever its status.

        Raises RegistryUnreachable, TlsFailed and ProxyFailed before the request went out, TransferBroken after it, and
        ContentChanged when the body ends too early.
        """
        import http.client

        address = request.address
        while True:
            connection, fresh = self._take(address, verified=verified)
            try:
                raw = _exchange(connection, request, self._settings.timeout_s)
            except (OSError, http.client.HTTPException) as exc:
                self._drop(connection)
                if not fresh and isinstance(exc, ConnectionError) and not isinstance(request.body, Body):
                    continue  # the other side had ended an idle connection; a new one tells whether it is there
                raise _broken(address, exc) from exc
            except BaseException:
                self._drop(connection)
                raise
            self.answered.add(address.origin)
            return Response(raw, address, partial(self._give_back, address, connection))

    def speaks_tls(self, host: str, port: int) -> bool:
        """Whether a TLS handshake succeeds there, whoever's certificate it is."""
        try:
            self._connect(Address("https", host, port), verified=False).close()
        except RegistryError:
            return False
        return True

    def close(self) -> None:
        """End all connections, also those that another thread waits on."""
        import socket

        with self._lock:
            self._closed = True
            connections = [*self._busy, *(one for idle in self._idle.values() for one in idle)]
            self._idle.clear()
        for connection in connections:
            if connection.sock is not None:
                with contextlib.suppress(OSError):
                    connection.sock.shutdown(socket.SHUT_RDWR)
            if connection not in self._busy:  # a busy one is its thread's to close
                connection.close()

    def _take(self, address: Address, *, verified: bool) -> tuple[HTTPConnection, bool]:
        with self._lock:
            idle = self._idle.get(address.origin)
            if idle:
                connection = idle.pop()
                self._busy.add(connection)
                return connection, False
        connection = self._connect(address, verified=verified)
        with self._lock:
            self._busy.add(connection)
            if self._closed:
                connection.close()
        return connection, True

    def _give_back(self, address: Address, connection: HTTPConnection, reusable: bool) -> None:
        with self._lock:
            self._busy.discard(connection)
            if reusable and not self._closed:
                self._idle.setdefault(address.origin, []).append(connection)
                return
        connection.close()

    def _drop(self, connection: HTTPConnection) -> None:
        with self._lock:
            self._busy.discard(connection)
        connection.close()

    def _connect(self, address: Address, *, verified: bool) -> HTTPConnection:
        import http.client
        import ssl

        proxy = self._proxy(address)
        host, port = (proxy.host, proxy.port) if proxy else (address.host, address.port)
        timeout_s = self._settings.connect_timeout_s
        connection: http.client.HTTPConnection
        if address.scheme == "https":
            connection = http.client.HTTPSConnection(
                host, port, timeout=timeout_s, context=self._context(address, verified=verified)
            )
            if proxy:
                connection.set_tunnel(address.host, address.port, proxy.headers)
        else:
            connection = http.client.HTTPConnection(host, port, timeout=timeout_s)
            if is_loopback(host):
                connection.host = host.encode()  # type: ignore[assignment]  # a text needs the codec of other names
        connection.proxy_headers = proxy.headers if proxy and address.scheme == "http" else None  # type: ignore[attr-defined]
        try:
            connection.connect()
        except ssl.SSLError as exc:
            connection.close()
            from fnpack.registry.trust import failure

            raise failure(address.netloc, exc) from exc
        except (OSError, http.client.HTTPException) as exc:
            connection.close()
            if proxy:
                raise _proxy_failure(f"{proxy.host}:{proxy.port}", address, exc) from exc
            raise _unreachable(address, exc) from exc
        return connection

    def _proxy(self, address: Address) -> Proxy | None:
        if not (self._settings.proxies.http or self._settings.proxies.https):
            return None
        from fnpack.registry.proxies import proxy_for

        return proxy_for(address.scheme, address.host, address.port, self._settings.proxies)

    def _context(self, address: Address, *, verified: bool) -> SSLContext:
        from fnpack.registry.trust import context_for

        with self._lock:
            key = (address.netloc, verified)
            if key not in self._contexts:
                self._contexts[key] = context_for(address.netloc, self._settings, verified=verified)
            return self._contexts[key]


def _exchange(connection: HTTPConnection, request: Request, timeout_s: float) -> HTTPResponse:
    _set_timeout(connection, timeout_s)
    method, address, body = request.method, request.address, request.body
    proxy_headers: Mapping[str, str] | None = getattr(connection, "proxy_headers", None)
    target = address.target if proxy_headers is None else f"http://{address.netloc}{address.target}"
    connection.putrequest(method, target, skip_host=True)
    connection.putheader("Host", address.netloc)
    for name, value in {**request.headers, **(proxy_headers or {})}.items():
        connection.putheader(name, value)
    if isinstance(body, Body):
        connection.putheader("Content-Length", str(body.size_bytes))
    elif body is not None or method in ("POST", "PUT", "PATCH"):
        connection.putheader("Content-Length", str(len(body or b"")))
    connection.endheaders(body if isinstance(body, bytes) else None)
    if isinstance(body, Body):
        try:
            _send(connection, body)
        except (BrokenPipeError, ConnectionResetError):
            with contextlib.suppress(Exception):  # refused before all was sent: the answer may be there
                return connection.getresponse()
            raise
    _set_timeout(connection, request.timeout_s or timeout_s)
    return connection.getresponse()


def _set_timeout(connection: HTTPConnection, timeout_s: float) -> None:
    if connection.sock is not None:
        connection.sock.settimeout(timeout_s)


def _send(connection: HTTPConnection, body: Body) -> None:
    buffer = memoryview(bytearray(min(BLOCK_BYTES, max(body.size_bytes, 1))))
    left = body.size_bytes
    stream = body.open()
    while left:
        wanted = buffer[: min(left, len(buffer))]
        try:
            count = stream.readinto(wanted)
        except OSError as exc:
            raise ContentChanged(
                f"what is being pushed cannot be read: {exc.strerror or exc}",
                hint="Check that the file is still there and whole, and push again.",
            ) from exc
        if not count:
            raise ContentChanged(
                f"what is being pushed ended {left} bytes too early",
                hint="A model or package file changed during the push; leave it alone and push again.",
            )
        connection.send(wanted[:count])
        left -= count
        body.sent(count)


def _unreachable(address: Address, error: Exception) -> RegistryUnreachable:
    import socket

    if isinstance(error, socket.gaierror):
        again = error.errno == socket.EAI_AGAIN
        return RegistryUnreachable(
            address.netloc, f"the name `{address.host}` is not known here", may_pass=again
        )
    if isinstance(error, TimeoutError):
        return RegistryUnreachable(address.netloc, "no answer in time")
    if isinstance(error, ConnectionRefusedError):
        return RegistryUnreachable(address.netloc, "connection refused: nothing listens there")
    reason = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
    return RegistryUnreachable(address.netloc, reason[:1].lower() + reason[1:])


def _proxy_failure(proxy: str, address: Address, error: Exception) -> ProxyFailed:
    return ProxyFailed(
        f"the proxy `{proxy}` gives no way to `{address.netloc}`: {_reason(error)}",
        registry=address.netloc,
        hint=f"Check HTTP_PROXY and HTTPS_PROXY, and the login in them, or name `{address.host}` in NO_PROXY.",
    )


def _broken(address: Address, error: Exception) -> TransferBroken:
    return TransferBroken(
        f"the connection to `{address.netloc}` broke off: {_reason(error)}",
        registry=address.netloc,
        hint="Run the command again: what the registry has got is not sent twice.",
    )


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    reason = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
    return reason[:1].lower() + reason[1:]
