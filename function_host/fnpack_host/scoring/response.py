"""Responses that a script answers with: SDK v1's AMLResponse, and any other object with a status and a body."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

RUN_FAILED = "x-ms-run-function-failed"
JSON = "application/json"
HTML = "text/html; charset=utf-8"  # what SDK v1 (Flask) calls text and bytes that have no type of their own


class ResponseHeaders(Mapping[str, str]):
    """The headers of an AMLResponse: names compare without case, and may stand several times."""

    def __init__(self) -> None:
        self._pairs: list[tuple[str, str]] = []

    def add(self, name: str, value: object) -> None:
        """Put another header beside those of the same name."""
        self._pairs.append((name, str(value)))

    add_header = add

    def set(self, name: str, value: object) -> None:
        """Put a header in the place of those of the same name."""
        self.remove(name)
        self.add(name, value)

    __setitem__ = set

    def remove(self, name: str) -> None:
        """Take out the headers of a name."""
        self._pairs = [pair for pair in self._pairs if pair[0].lower() != name.lower()]

    __delitem__ = remove

    def __getitem__(self, name: str) -> str:
        for key, value in self._pairs:
            if key.lower() == name.lower():
                return value
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter([name for name, _ in self._pairs])

    def __len__(self) -> int:
        return len(self._pairs)

    def items(self) -> list[tuple[str, str]]:  # type: ignore[override]
        """Every header, repeated ones too."""
        return list(self._pairs)


class AMLResponse:
    """A response with status and headers, in SDK v1's shape.

    `message` None gives `{}`; `json_str` has it encoded as JSON; text and bytes are taken as they are. A comma in
    a header's value parts several headers of that name.
    """

    def __init__(
        self,
        message: object,
        status_code: int,
        response_headers: Mapping[str, object] | None = None,
        json_str: bool = False,
        run_function_failed: bool = False,
    ) -> None:
        self.status_code = status_code
        self.headers = ResponseHeaders()
        self._body, content_type = _body(message, json_str=json_str)
        given = response_headers or {}
        if not any(name.lower() == "content-type" for name in given):
            self.headers.add("Content-Type", content_type)
        self.headers.add(RUN_FAILED, bool(run_function_failed))
        for name, value in given.items():
            for one in str(value).split(","):
                self.headers.add(name, one.strip())

    @property
    def data(self) -> bytes:
        """The body's bytes."""
        return self._body

    @property
    def content_type(self) -> str:
        """The content type."""
        return self.headers.get("Content-Type", "")

    def get_data(self, as_text: bool = False) -> bytes | str:
        """The body's bytes, or its UTF-8 text."""
        return self._body.decode() if as_text else self._body


def _body(message: object, *, json_str: bool) -> tuple[bytes, str]:
    if message is None:
        return b"{}", JSON
    if json_str:
        return json.dumps(message).encode(), JSON
    match message:
        case bytes() | bytearray() | memoryview():
            return bytes(message), HTML
        case str():
            return message.encode(), HTML
    return json.dumps(message).encode(), JSON


def read_response(response: object) -> tuple[bytes, str, int, dict[str, str | list[str]]]:
    """Body, content type, status and other headers of an AMLResponse, a Flask response or an HttpResponse of
    azure.functions, by the parts they share.
    """
    read = getattr(response, "get_data", None) or getattr(response, "get_body", None)
    body = read() if callable(read) else b""
    headers: dict[str, str | list[str]] = {}
    for name, value in getattr(response, "headers", {}).items():
        _add(headers, str(name).lower(), str(value))
    headers.pop("content-length", None)
    own = headers.pop("content-type", None)
    content_type = (own if isinstance(own, str) else None) or getattr(response, "mimetype", None) or JSON
    status = int(getattr(response, "status_code", 200))
    if status >= 500:
        headers[RUN_FAILED] = "True"
    return body.encode() if isinstance(body, str) else bytes(body), content_type, status, headers


def _add(headers: dict[str, str | list[str]], name: str, value: str) -> None:
    match headers.get(name):
        case None:
            headers[name] = value
        case str() as first:
            headers[name] = [first, value]
        case list() as several:
            several.append(value)
