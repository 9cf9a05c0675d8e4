"""Which proxy to go through for an address, if any: HTTP_PROXY, HTTPS_PROXY and NO_PROXY as curl and Go read them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from fnpack.registry.addresses import is_loopback
from fnpack.registry.errors import ProxyFailed
from fnpack.registry.settings import Proxies


class Proxy(NamedTuple):
    """An HTTP proxy; `headers` hold its login, so `repr` leaves them out."""

    host: str
    port: int
    headers: Mapping[str, str] = {}

    def __repr__(self) -> str:
        """Without the login."""
        return f"Proxy(host={self.host!r}, port={self.port!r})"


def proxy_for(scheme: str, host: str, port: int, proxies: Proxies) -> Proxy | None:
    """The proxy on the way to `scheme://host:port`; None for a direct connection. This machine is always direct."""
    address = proxies.https if scheme == "https" else proxies.http
    if not address or is_loopback(host) or is_excepted(host, port, proxies.exceptions):
        return None
    try:
        parts = urlsplit(address if "://" in address else f"http://{address}")
        name, number = parts.hostname, parts.port
    except ValueError:
        name, number, parts = None, None, urlsplit("")
    variable = "HTTPS_PROXY" if scheme == "https" else "HTTP_PROXY"
    if not name or parts.scheme != "http":
        raise ProxyFailed(
            f"the proxy that {variable} (or ALL_PROXY) names cannot be used: it is not `http://host:port`",
            hint=f"Set {variable} to an HTTP proxy, or name `{host}` in NO_PROXY.",
        )
    headers = {}
    if parts.username:
        from base64 import b64encode

        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Proxy-Authorization"] = "Basic " + b64encode(login.encode()).decode()
    return Proxy(name, number or 80, headers)


def is_excepted(host: str, port: int, exceptions: tuple[str, ...]) -> bool:
    """Whether NO_PROXY names this host: itself or a domain above it, with or without port, a network, or `*`."""
    bare = host.strip("[]").lower().rstrip(".")
    for exception in exceptions:
        name, colon, number = exception.rpartition(":")
        if colon and number.isdecimal() and ":" not in name.strip("[]"):
            if int(number) != port:
                continue
            exception = name  # noqa: PLW2901 - the port is told
        domain = exception.strip("[]").removeprefix("*").strip(".")
        if exception == "*" or bare == domain or (domain and bare.endswith(f".{domain}")):
            return True
        if "/" in exception and _is_in_network(bare, exception):
            return True
    return False


def _is_in_network(host: str, network: str) -> bool:
    from ipaddress import ip_address, ip_network

    try:
        return ip_address(host) in ip_network(network, strict=False)
    except ValueError:
        return False
