"""The ASGI types of the front, and what it reads of a request and sends as an answer."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from functools import lru_cache
from typing import Any, NamedTuple

Message = MutableMapping[str, Any]  # ASGI's own type: the values depend on the message's type
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
RawHeaders = list[tuple[bytes, bytes]]

JSON = b"application/json; charset=utf-8"
TEXT = b"text/plain; charset=utf-8"
BODILESS = (204, 205, 304)
LENGTHLESS = (204, 304)
_OWNED = frozenset(
    (b"content-length", b"transfer-encoding", b"connection", b"keep-alive", b"upgrade", b"trailer")
)
_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_CONTROLS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


class Response(NamedTuple):
    """A whole answer."""

    status: int
    headers: RawHeaders
    body: bytes

    @classmethod
    def make(
        cls, status: int, body: bytes = b"", content_type: bytes = b"", headers: RawHeaders | None = None
    ) -> Response:
        """With its length and type."""
        raw = [(b"content-length", b"%d" % len(body)), *(headers or ())]
        if content_type:
            raw.append((b"content-type", content_type))
        return cls(status, raw, body)

    @classmethod
    def of_facts(cls, facts: Mapping[str, object], body: bytes) -> Response:
        """What a function answered. User code can neither split the response nor break its framing."""
        status = facts["status"]
        if not isinstance(status, int) or not 200 <= status <= 599:
            status, body = 500, b""
        raw: RawHeaders = []
        if status in BODILESS:
            body = b""
        if status not in LENGTHLESS:
            raw.append((b"content-length", b"%d" % len(body)))
        if facts["type"]:
            raw.append((b"content-type", _content_type(str(facts["type"]))))
        extra, cookies = facts.get("headers"), facts.get("cookies")
        if isinstance(extra, dict):
            for key, value in extra.items():
                if name := _name(str(key)):
                    raw += [(name, _value(one)) for one in (value if isinstance(value, list) else (value,))]
        if isinstance(cookies, list):
            raw += [(b"set-cookie", _value(cookie)) for cookie in cookies]
        return cls(status, raw, body)

    async def send(self, send: Send) -> None:
        """Send it (ASGI)."""
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        await send({"type": "http.response.body", "body": self.body})


Respond = Callable[[Response], None]


async def reply(
    send: Send, status: int, body: bytes = b"", content_type: bytes = b"", headers: RawHeaders | None = None
) -> None:
    """Send a whole response."""
    await Response.make(status, body, content_type, headers).send(send)


@lru_cache(256)
def _name(text: str) -> bytes:
    """A header's name, or nothing where it is none or belongs to the server."""
    name = text.encode("latin-1", "replace").lower()
    return name if name not in _OWNED and _TOKEN.fullmatch(name) else b""


@lru_cache(128)
def _content_type(text: str) -> bytes:
    return _value(text)


def _value(text: object) -> bytes:
    """A header's value without line breaks and other control characters."""
    value = str(text)
    if _CONTROLS.search(value):
        value = _CONTROLS.sub("", value)
    return value.encode("latin-1", "replace")


def with_headers(send: Send, added: RawHeaders) -> Send:
    """`send`, with headers added to the response where it does not carry them itself."""

    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            own = {name.lower() for name, _ in message["headers"]}
            message["headers"] = [*message["headers"], *(pair for pair in added if pair[0] not in own)]
        await send(message)

    return send_with_headers
