"""What a call hands to the entry script: text by default, the request itself for a raw script."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from urllib.parse import SplitResult, parse_qsl, urlsplit

from .errors import BadInput
from .forms import MULTIPART, URL_ENCODED, MultiDict, UploadedFile, parse_form

__all__ = ["BadInput", "Headers", "MultiDict", "Request", "UploadedFile"]


class Headers(dict[str, str]):
    """Request headers: a plain dict with names such as `Content-Type`, which also finds them in any other case."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        super().__init__({name.title(): value for name, value in headers.items()})

    def __getitem__(self, name: str) -> str:
        return super().__getitem__(name.title())

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and super().__contains__(name.title())

    def get(self, name: str, default: str | None = None) -> str | None:  # type: ignore[override]
        """The header's value, or `default`."""
        return super().get(name.title(), default)


class Request:
    """One call: an HTTP request, or an event (a blob, a message) dressed as a POST with no headers.

    It has the parts of SDK v1's raw request (Flask's) that scripts use: `method`, `url`, `path`, `full_path`,
    `args` (first value of each query name), `headers`, `data`, `get_data()`, `get_json()`, `form`, `files`, ...
    """

    def __init__(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> None:
        self.method = method.upper()
        self.url = url
        self.data = body
        self.is_event = False
        self._headers: Mapping[str, str] | Headers = headers
        self._split: SplitResult | None = None
        self._form: tuple[MultiDict, MultiDict] | None = None

    @classmethod
    def event(cls, body: bytes) -> Request:
        """The request that stands for a blob or a message."""
        request = cls("POST", "/", {}, body)
        request.is_event = True
        return request

    @property
    def headers(self) -> Headers:
        """The headers, by name without case."""
        if not isinstance(self._headers, Headers):
            self._headers = Headers(self._headers)
        return self._headers

    # --- the address ---

    @property
    def _parts(self) -> SplitResult:
        if self._split is None:
            self._split = urlsplit(self.url)
        return self._split

    @property
    def path(self) -> str:
        """The path without the query."""
        return self._parts.path

    @property
    def base_url(self) -> str:
        """The address without the query."""
        return self.url.partition("?")[0]

    @property
    def host(self) -> str:
        """Name and port of the server."""
        return self._parts.netloc

    @property
    def query_string(self) -> bytes:
        """The query as it came, without its question mark."""
        return self._parts.query.encode()

    @property
    def full_path(self) -> str:
        """Path and query, with a question mark even where the query is empty (as Flask has it)."""
        return f"{self._parts.path}?{self._parts.query}"

    @property
    def args(self) -> MultiDict:
        """The query: the first value by name, all of them by `args.getlist(name)`."""
        return MultiDict(parse_qsl(self._parts.query, keep_blank_values=True))

    # --- the body ---

    @property
    def content_type(self) -> str | None:
        """The header of that name, or None."""
        return self.headers.get("Content-Type")

    @property
    def mimetype(self) -> str:
        """The content type without its parameters, in lower case."""
        return (self.content_type or "").partition(";")[0].strip().lower()

    @property
    def content_length(self) -> int:
        """Bytes of the body."""
        return len(self.data)

    @property
    def is_json(self) -> bool:
        """Whether the content type says JSON."""
        mimetype = self.mimetype
        return mimetype == "application/json" or (
            mimetype.startswith("application/") and mimetype.endswith("+json")
        )

    @property
    def is_form(self) -> bool:
        """Whether the content type says form."""
        return self.mimetype in (URL_ENCODED, MULTIPART)

    @property
    def form(self) -> MultiDict:
        """The fields of a form body. Raises BadInput for a broken one."""
        return self._forms()[0]

    @property
    def files(self) -> MultiDict:
        """The files of a multipart body, as UploadedFile. Raises BadInput for a broken one."""
        return self._forms()[1]

    @property
    def values(self) -> MultiDict:
        """The query's values, then those of the form."""
        both = (self.args, self.form)
        return MultiDict((name, value) for one in both for name in one for value in one.getlist(name))

    @property
    def cookies(self) -> dict[str, str]:
        """The cookies, by name; none where the header cannot be read."""
        try:
            return {name: one.value for name, one in SimpleCookie(self.headers.get("Cookie", "")).items()}
        except CookieError:
            return {}

    @property
    def json(self) -> object:
        """`get_json()`."""
        return self.get_json()

    def get_data(
        self, cache: bool = True, as_text: bool = False, parse_form_data: bool = False
    ) -> bytes | str:
        """The untouched bytes, or their UTF-8 text. The other two parameters are Flask's and change nothing."""
        return self._text() if as_text else self.data

    def get_json(self, force: bool = False, silent: bool = False, cache: bool = True) -> object:
        """The body read as JSON, whatever its content type. Raises BadInput where it is none, unless `silent`."""
        try:
            return json.loads(self.data)
        except (ValueError, RecursionError) as error:
            if silent:
                return None
            reason = "it is empty" if not self.data else str(error)
            raise BadInput(f"the body is not valid JSON: {reason}") from error

    def text(self) -> str:
        """What an undecorated `run` receives: the body as UTF-8 text; for GET, the query as a JSON object."""
        return json.dumps(self.query_values()) if self.method == "GET" else self._text()

    def query_values(self) -> dict[str, object]:
        """The query's values, each read as JSON where it is JSON; a repeated name gives a list."""
        read: dict[str, list[object]] = {}
        for name, value in parse_qsl(self._parts.query, keep_blank_values=True):
            read.setdefault(name, []).append(_json_or_text(value))
        return {name: values[0] if len(values) == 1 else values for name, values in read.items()}

    def _text(self) -> str:
        try:
            return self.data.decode("utf-8")
        except UnicodeDecodeError as error:
            raise BadInput(
                f"the input is not UTF-8 text (byte 0x{self.data[error.start]:02x} at offset {error.start}); "
                "a script that takes bytes decorates run with @rawhttp, or declares run(data: bytes)"
            ) from error

    def _forms(self) -> tuple[MultiDict, MultiDict]:
        if self._form is None:
            self._form = parse_form(self.content_type or "", self.data)
        return self._form


def _json_or_text(value: str) -> object:
    try:
        parsed: object = json.loads(value)
    except (ValueError, RecursionError):
        return value
    return parsed
