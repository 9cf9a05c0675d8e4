"""The page at `/docs`: Swagger UI, from files beside this module, so that it works without a network.

The page itself says nothing of the app; it fetches the API document as any caller does, with a key where one is asked.
"""

from __future__ import annotations

import gzip
from functools import lru_cache
from importlib.resources import files

from fnpack_host.http.asgi import JSON, Message, RawHeaders, Receive, Send, reply

PATH = "/docs"
_HTML, _SCRIPT, _STYLE = (
    b"text/html; charset=utf-8",
    b"text/javascript; charset=utf-8",
    b"text/css; charset=utf-8",
)
_FILES = {  # path -> file, content type
    PATH: ("page.html", _HTML),
    f"{PATH}/page.js": ("page.js", _SCRIPT),
    f"{PATH}/page.css": ("page.css", _STYLE),
    f"{PATH}/swagger-ui-bundle.js": ("swagger-ui-bundle.js.xz", _SCRIPT),
    f"{PATH}/swagger-ui.css": ("swagger-ui.css.xz", _STYLE),
}
_HEADERS: RawHeaders = [
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
        b"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"max-age=3600"),
    (b"vary", b"Accept-Encoding"),
]


class ApiPage:
    """Answers `/docs` and what the page needs."""

    def takes(self, path: str) -> bool:
        """Whether `path` is one of its own."""
        return path in _FILES

    async def answer(self, path: str, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request (ASGI)."""
        if scope["method"] not in ("GET", "HEAD"):
            body = b'{"message": "Method not allowed"}'
            await reply(send, 405, body, JSON, [(b"allow", b"GET, HEAD")])
            return
        name, content_type = _FILES[path]
        content, headers = _packed(name), list(_HEADERS)
        if b"gzip" in dict(scope["headers"]).get(b"accept-encoding", b""):
            headers.append((b"content-encoding", b"gzip"))
        else:
            content = gzip.decompress(content)
        await reply(send, 200, content, content_type, headers)


@lru_cache(len(_FILES))
def _packed(name: str) -> bytes:
    """The file as gzip, which every browser takes; it is kept in half a megabyte less than that."""
    content = (files("fnpack_host.http") / "swagger_ui" / name).read_bytes()
    if name.endswith(".xz"):
        import lzma

        content = lzma.decompress(content)
    return gzip.compress(content, 6, mtime=0)
