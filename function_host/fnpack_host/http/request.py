"""A request as Azure's host hands it to a function: decoded path, url, headers and query.

Source: Kestrel's path decoding and the host's conversion of a request for the worker (RpcHttp).
"""

from __future__ import annotations

import codecs
import re
from functools import lru_cache
from urllib.parse import quote, unquote_to_bytes

from fnpack_host.http.asgi import Message

_PLAIN_PATH = re.compile(rb"(?:/[A-Za-z0-9_~!$&'()*+,;=:@-][A-Za-z0-9_~!$&'()*+,;=:@.-]*)*/?")
_SAFE_IN_PATH = "/!$&'()*+,;=:@"
_ENCODED = re.compile(r"%[0-9A-Fa-f]{2}")
_HOST = re.compile(
    r"[A-Za-z0-9._~!$&'()*+;=%-]*(?::[0-9]{0,5})?|\[[0-9A-Fa-f:.]+(?:%[A-Za-z0-9._~-]+)?\](?::[0-9]{0,5})?"
)
_SLASH = re.compile(rb"(%2[Ff])")


class BadRequest(Exception):  # noqa: N818 - names the answer
    """The request is refused with 400 before any function sees it."""


def _keep_encoded(error: UnicodeError) -> tuple[str, int]:
    """Bytes that are no UTF-8 stay percent-encoded, as .NET leaves them."""
    assert isinstance(error, UnicodeDecodeError)
    return "".join(f"%{byte:02X}" for byte in error.object[error.start : error.end]), error.end


codecs.register_error("fnpack-keep-encoded", _keep_encoded)


def is_plain(raw_path: bytes) -> bool:
    """Whether a path means what it says: nothing encoded, no dots, nothing that a url would encode."""
    return _PLAIN_PATH.fullmatch(raw_path) is not None


def decoded_path(raw_path: bytes) -> str:
    """The path with its escapes decoded (but for `%2F`) and its dot segments resolved. Raises BadRequest."""
    if not raw_path.startswith(b"/"):
        raise BadRequest("the path does not begin with a slash")
    pieces = _SLASH.split(raw_path)
    text = "".join(
        piece.decode() if number % 2 else unquote_to_bytes(piece).decode("utf-8", "fnpack-keep-encoded")
        for number, piece in enumerate(pieces)
    )
    if "\0" in text:
        raise BadRequest("the path holds a null character")
    return _without_dots(text) if "/." in text else text


def _without_dots(path: str) -> str:
    kept: list[str] = []
    parts = path.split("/")[1:]
    for number, part in enumerate(parts):
        is_last = number == len(parts) - 1
        if part not in (".", ".."):
            kept.append(part)
            continue
        if part == ".." and kept:
            kept.pop()
        if is_last:
            kept.append("")
    return "/" + "/".join(kept)


def url_of(scope: Message, host: str) -> str:
    """The address as the function sees it. Raises BadRequest for a host header that is none."""
    if not _is_host(host):
        raise BadRequest("the host header is not a host")
    query: bytes = scope["query_string"]
    text = f"{scope['scheme']}://{host}{_shown_path(scope['raw_path'])}"
    return f"{text}?{query.decode('latin-1')}" if query else text


@lru_cache(256)
def _is_host(text: str) -> bool:
    return _HOST.fullmatch(text) is not None


@lru_cache(1024)
def _shown_path(raw_path: bytes) -> str:
    return raw_path.decode() if is_plain(raw_path) else encoded_path(decoded_path(raw_path))


def encoded_path(path: str) -> str:
    """A decoded path as part of a url; what is percent-encoded already stays."""
    text, position = "", 0
    for match in _ENCODED.finditer(path):
        text += quote(path[position : match.start()], safe=_SAFE_IN_PATH) + match[0]
        position = match.end()
    return text + quote(path[position:], safe=_SAFE_IN_PATH)


def headers_of(scope: Message) -> dict[str, str]:
    """Headers by lower-cased name; several of one name are joined with commas."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]},{value}" if name in headers else value
    return headers


def query_of(query_string: bytes) -> dict[str, str]:
    """Query values by name: names compare without case, repeats are joined with commas, empty values left out."""
    names: dict[str, str] = {}
    values: dict[str, list[str]] = {}
    for pair in query_string.split(b"&"):
        if not pair:
            continue
        raw_name, _, raw_value = pair.partition(b"=")
        name = _query_text(raw_name)
        name = names.setdefault(name.lower(), name)
        values.setdefault(name, []).append(_query_text(raw_value))
    joined = {name: ",".join(several) for name, several in values.items()}
    return {name: value for name, value in joined.items() if value}


def _query_text(raw: bytes) -> str:
    return unquote_to_bytes(raw.replace(b"+", b" ")).decode("utf-8", "fnpack-keep-encoded")
