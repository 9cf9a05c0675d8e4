"""What host.json says of HTTP (`extensions.http`), and the request size limit of the app settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from fnpack_host.app.host_json import HostJson
from fnpack_host.http.asgi import RawHeaders
from fnpack_host.settings import Settings

MAX_BODY_BYTES = 104_857_600
DAY_S = 86400.0


@dataclass(frozen=True, slots=True)
class Hsts:
    """Strict-Transport-Security: sent over https to hosts that are not excluded."""

    max_age_s: int
    include_subdomains: bool
    preload: bool
    excluded_hosts: frozenset[str]

    @property
    def value(self) -> bytes:
        """The header's value."""
        flags = (b"; includeSubDomains" if self.include_subdomains else b"") + (
            b"; preload" if self.preload else b""
        )
        return b"max-age=%d%s" % (self.max_age_s, flags)


@dataclass(frozen=True, slots=True)
class HttpOptions:
    """Limits (-1: none) and headers of the HTTP front."""

    route_prefix: str = "api"
    max_concurrent_requests: int = -1
    max_outstanding_requests: int = -1
    max_body_bytes: int = MAX_BODY_BYTES
    custom_headers: RawHeaders = field(default_factory=list)
    hsts: Hsts | None = None

    @classmethod
    def read(cls, host_json: HostJson, settings: Settings) -> HttpOptions:
        """Take the options of an app. Raises HostJsonError that names key, value and range."""
        below = "extensions.http."
        return cls(
            host_json.text(f"{below}routePrefix", "api"),
            host_json.integer(f"{below}maxConcurrentRequests", -1, -1),
            host_json.integer(f"{below}maxOutstandingRequests", -1, -1),
            settings.whole_number("FUNCTIONS_REQUEST_BODY_SIZE_LIMIT", MAX_BODY_BYTES, 0, 2**63 - 1),
            _headers(host_json.texts(f"{below}customHeaders")),
            _hsts(host_json) if host_json.flag(f"{below}hsts.isEnabled", False) else None,
        )


def _headers(given: Mapping[str, str]) -> RawHeaders:
    return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in given.items()]


def _hsts(host_json: HostJson) -> Hsts:
    below = "extensions.http.hsts."
    return Hsts(
        int(host_json.seconds(f"{below}maxAge", 30 * DAY_S) or 0),
        host_json.flag(f"{below}includeSubDomains", False),
        host_json.flag(f"{below}preload", False),
        frozenset(host.lower() for host in host_json.strings(f"{below}excludedHosts") or LOOPBACK),
    )


LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
