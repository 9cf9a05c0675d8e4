"""What a call hands to the entry script: text by default, the request itself for a raw script."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from urllib.parse import parse_qs, urlsplit


class BadInput(Exception):  # noqa: N818 - SDK v1's wording
    """The caller's input cannot be given to the script; for HTTP it is answered with 400."""


class Headers(Mapping[str, str]):
    """Request headers whose names compare without case."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        self._values = {name.lower(): value for name, value in headers.items()}

    def __getitem__(self, name: str) -> str:
        return self._values[name.lower()]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


class Request:
    """One call: an HTTP request, or an event (a blob, a message) dressed as a POST with no headers.

    It has the parts of SDK v1's raw request that scripts use: `method`, `url`, `path`, `full_path`, `args`
    (first value of each query name), `headers`, `data`, `get_data()`, `get_json()`.
    """

    def __init__(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> None:
        self.method = method.upper()
        self.url = url
        self.data = body
        self._headers: Mapping[str, str] | Headers = headers
        self._parts = urlsplit(url)

    @classmethod
    def event(cls, body: bytes) -> Request:
        """The request that stands for a blob or a message."""
        return cls("POST", "/", {}, body)

    @property
    def headers(self) -> Headers:
        """The headers, by name without case."""
        if not isinstance(self._headers, Headers):
            self._headers = Headers(self._headers)
        return self._headers

    @property
    def path(self) -> str:
        """The path without the query."""
        return self._parts.path

    @property
    def query_string(self) -> bytes:
        """The query as it came, without its question mark."""
        return self._parts.query.encode()

    @property
    def full_path(self) -> str:
        """Path and query, with a question mark even where the query is empty (as Flask has it)."""
        return f"{self._parts.path}?{self._parts.query}"

    @property
    def args(self) -> dict[str, str]:
        """The query's first value by name."""
        return {
            name: values[0] for name, values in parse_qs(self._parts.query, keep_blank_values=True).items()
        }

    def get_data(self, *, as_text: bool = False) -> bytes | str:
        """The untouched bytes, or their UTF-8 text."""
        return self.text() if as_text else self.data

    def get_json(self) -> object:
        """The body read as JSON. Raises BadInput where it is none."""
        try:
            return json.loads(self.data)
        except ValueError as error:
            raise BadInput(f"the body is not valid JSON: {error}") from error

    def text(self) -> str:
        """What an undecorated `run` receives: the body as UTF-8 text; for GET, the query as a JSON object."""
        if self.method == "GET":
            return json.dumps(self.query_values())
        try:
            return self.data.decode("utf-8")
        except UnicodeDecodeError as error:
            raise BadInput(
                f"the input is not UTF-8 text (byte 0x{self.data[error.start]:02x} at offset {error.start}); "
                "a script that takes bytes decorates run with @rawhttp"
            ) from error

    def query_values(self) -> dict[str, object]:
        """The query's values, each read as JSON where it is JSON; a repeated name gives a list."""
        query = parse_qs(self._parts.query, keep_blank_values=True)
        read = {name: [_json_or_text(value) for value in values] for name, values in query.items()}
        return {name: values[0] if len(values) == 1 else values for name, values in read.items()}


def _json_or_text(value: str) -> object:
    try:
        parsed: object = json.loads(value)
    except ValueError:
        return value
    return parsed
