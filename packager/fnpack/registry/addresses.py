"""Addresses of requests: scheme, host, port and what is asked for. They may hold signatures, so `repr` hides that."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import urljoin, urlsplit

from fnpack.registry.errors import RegistryError

PORTS = {"http": 80, "https": 443}


class Address(NamedTuple):
    """`scheme://host:port` and the target (path and query), which `repr` hides. `host` has no brackets."""

    scheme: str
    host: str
    port: int
    target: str = "/"

    def __repr__(self) -> str:
        """Without the target."""
        return f"Address(scheme={self.scheme!r}, host={self.host!r}, port={self.port!r})"

    @classmethod
    def parse(cls, url: str) -> Address:
        """Read an absolute http or https address. Raises RegistryError, which does not repeat it."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise RegistryError("a registry gave an address that cannot be read") from None
        if parts.scheme not in PORTS or not parts.hostname:
            raise RegistryError("a registry gave an address that is not http or https")
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        if not (is_sendable(target) and is_sendable(parts.hostname)):
            raise RegistryError("a registry gave an address with characters that none may have")
        return cls(parts.scheme, parts.hostname, port or PORTS[parts.scheme], target)

    @property
    def origin(self) -> tuple[str, str, int]:
        """What makes two addresses the same party."""
        return self.scheme, self.host, self.port

    @property
    def netloc(self) -> str:
        """`host`, with the port where it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def is_private(self) -> bool:
        """Whether nobody on the way can read a secret sent there."""
        return self.scheme == "https" or is_loopback(self.host)

    def to(self, target: str) -> Address:
        """Another target at the same origin."""
        return self._replace(target=target)

    def join(self, location: str) -> Address:
        """What a Location header from here means.

        A registry behind a proxy that ends TLS often names itself with http; that stays encrypted.
        """
        try:
            joined = Address.parse(urljoin(f"{self.scheme}://{self.netloc}{self.target}", location))
        except ValueError:
            raise RegistryError("a registry gave an address that cannot be read") from None
        if self.scheme == "https" and joined.scheme == "http" and joined.host == self.host:
            port = self.port if joined.port in (80, self.port) else joined.port
            return joined._replace(scheme="https", port=port)
        return joined

    def with_query(self, text: str) -> Address:
        """The same with `text` at the end of the query."""
        return self._replace(target=self.target + ("&" if "?" in self.target else "?") + text)


def is_sendable(text: str) -> bool:
    """Whether a stranger's text may be a part of a request: printable ASCII without spaces."""
    return all("!" <= letter <= "~" for letter in text)


def is_loopback(host: str) -> bool:
    """Whether `host` (without port) is this machine, by its name or number."""
    bare = host.strip("[]").lower()
    if bare == "localhost" or bare.endswith(".localhost") or bare == "::1":
        return True
    numbers = bare.split(".")
    return len(numbers) == 4 and numbers[0] == "127" and all(number.isdecimal() for number in numbers)
