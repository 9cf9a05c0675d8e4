"""Cross-origin requests, as AML_CORS_ORIGINS allows them: GET and POST from the origins that it names.

Browsers ask before they send JSON (a preflight); hosts of SDK v1 that let OPTIONS through answered like this.
"""

from __future__ import annotations

from collections.abc import Iterable

from fnpack_host.http.asgi import Message, RawHeaders, Send, reply, with_headers

ANY = "*"
METHODS = b"GET, POST"
_CLOSED = ("/admin/", "/runtime/")  # paths that no other site's page has any business with


class Cors:
    """Says what browsers want to know. `origins` are such as `https://example.com`, or `*` for all."""

    def __init__(self, origins: Iterable[str]) -> None:
        self._origins = frozenset(origin.rstrip("/").lower() for origin in origins)

    def allow(self, scope: Message, send: Send) -> Send:
        """`send`, whose answer tells the browser that the page may read it, where that is so."""
        headers = self._headers(scope)
        return with_headers(send, headers) if headers else send

    async def answer_preflight(self, scope: Message, send: Send) -> bool:
        """Answer a browser that asks beforehand; says whether this was one, from an origin that is allowed."""
        if scope["method"] != "OPTIONS":
            return False
        asked = dict(scope["headers"])
        headers = self._headers(scope)
        if not headers or b"access-control-request-method" not in asked:
            return False
        headers.append((b"access-control-allow-methods", METHODS))
        if wanted := asked.get(b"access-control-request-headers"):
            headers.append((b"access-control-allow-headers", wanted))
        await reply(send, 200, headers=headers)
        return True

    def _headers(self, scope: Message) -> RawHeaders:
        if scope["path"].lower().startswith(_CLOSED):
            return []
        origin = next((value for name, value in scope["headers"] if name == b"origin"), b"")
        if origin and ANY in self._origins:
            return [(b"access-control-allow-origin", b"*")]
        if origin and origin.decode("latin-1").lower() in self._origins:
            return [(b"access-control-allow-origin", origin), (b"vary", b"Origin")]
        return []
