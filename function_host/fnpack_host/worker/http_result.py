"""What a function gave becomes an HTTP response, as Azure's host makes one of it (HttpBinding, RawScriptResult)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from fnpack_host.worker.library import Datum

TEXT = "text/plain; charset=utf-8"
BYTES = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class Response:
    """A whole response. Without a `content_type` there is no such header."""

    status: int
    content_type: str = ""
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    cookies: tuple[str, ...] = ()  # values of Set-Cookie headers

    def facts(self) -> dict[str, object]:
        """What goes into a frame beside the body."""
        facts: dict[str, object] = {"status": self.status, "type": self.content_type}
        if self.headers:
            facts["headers"] = dict(self.headers)
        if self.cookies:
            facts["cookies"] = list(self.cookies)
        return facts


NO_CONTENT = Response(204)


def from_http_output(datum: Datum | None) -> Response:
    """The response of an `http` output binding: an HttpResponse, or a text that may be a response object."""
    match None if datum is None else datum.type:
        case "http":
            assert datum is not None
            return _from_http(datum.value)
        case "string" | "json":
            assert datum is not None
            return _from_text(str(datum.value))
        case _:
            return NO_CONTENT if datum is None else from_returned(datum)


def from_returned(datum: Datum | None) -> Response:
    """The response of an HTTP function whose returned value goes to another binding (a blob, a queue): its text."""
    if datum is None or datum.value is None:
        return NO_CONTENT
    if isinstance(datum.value, bytes):
        return Response(200, BYTES, datum.value)
    return Response(200, TEXT, str(datum.value).encode())


def _from_http(value: object) -> Response:
    assert isinstance(value, Mapping)
    headers: dict[str, str] = {}
    cookies: list[str] = []
    content_type = ""
    for name, datum in value["headers"].items():
        if name.lower() == "content-type":
            content_type = str(datum.value)
        elif name.lower() == "set-cookie":  # a library too old to know of cookies
            cookies.append(str(datum.value))
        else:
            headers[name.lower()] = str(datum.value)
    for cookie in value.get("cookies") or ():
        cookies += [morsel.OutputString() for morsel in cookie.values()]
    headers.pop("content-length", None)  # the server counts
    body = value["body"].value
    return Response(
        int(value["status_code"].value),
        content_type or TEXT,
        body.encode() if isinstance(body, str) else bytes(body or b""),
        headers,
        tuple(cookies),
    )


def _from_text(text: str) -> Response:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return Response(200, TEXT, text.encode())
    if not isinstance(content, dict):
        return Response(200, TEXT, _plain(content, indent=2))
    by_lower = {key.lower(): value for key, value in content.items()}
    if "body" not in by_lower:
        return Response(200, TEXT, _plain(content, indent=2))
    given = by_lower.get("headers")
    headers = {str(k).lower(): _text(v) for k, v in given.items()} if isinstance(given, dict) else {}
    content_type = headers.pop("content-type", TEXT)
    headers.pop("content-length", None)
    return Response(_status(by_lower), content_type, _plain(by_lower["body"], indent=None), headers)


def _status(response: Mapping[str, object]) -> int:
    given = response.get("statuscode", response.get("status"))
    try:
        return int(given) if isinstance(given, (int, str)) else 200
    except ValueError:
        return 200


def _plain(content: object, *, indent: int | None) -> bytes:
    """The body for a JSON value: text without quotes, objects and lists as JSON."""
    if isinstance(content, (dict, list)):
        separators = None if indent else (",", ":")
        return json.dumps(content, indent=indent, separators=separators, ensure_ascii=False).encode(
            "utf-8", "replace"
        )
    return _text(content).encode("utf-8", "replace")


def _text(value: object) -> str:
    if value is None:
        return ""
    return str(value)
