"""The HTTP side that SDK v1's scoring container had, beside the function's own route: `/`, `/score`, `/swagger.json`.

And `/docs`, the page that shows the API document. Source: azureml-inference-server-http, routes and headers.
"""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import fnpack_host
from fnpack_host.http.api_page import ApiPage
from fnpack_host.http.asgi import (
    JSON,
    TEXT,
    Message,
    RawHeaders,
    Receive,
    Respond,
    Response,
    Send,
    reply,
)
from fnpack_host.http.request import query_of
from fnpack_host.http.request_ids import IdTooLong, RequestIds
from fnpack_host.http.routes import Match
from fnpack_host.http.style import AnswerStyle
from fnpack_host.invoker import Invoker
from fnpack_host.workers.process import InvocationError, WorkerLost

log = logging.getLogger("fnpack.host.http")

HTML = b"text/html; charset=utf-8"
SERVER = f"fnpack/{fnpack_host.__version__}".encode()
_FAILED = b"x-ms-run-function-failed"
_KEY = re.compile(r"((?:^|&)code=)[^&]*", re.IGNORECASE)
_REASONS = {
    401: "the key is missing or wrong; send it as `Authorization: Bearer KEY` or `x-functions-key: KEY`",
    404: "the function is disabled",
    429: "too many requests are waiting; try again later",
    500: "An unexpected internal error occurred. Check the logs for more info.",
    503: "the app is starting or stopping; try again later",
}
_CRASHED = (
    b"<html><head><title>Internal Server Error</title></head><body>Internal Server Error</body></html>\n"
)


class Front(Protocol):
    """What the surface asks of the front."""

    ready: bool

    def refusal(self, match: Match, scope: Message) -> int:
        """The status for a caller who may not call the function, or 0."""

    async def call(
        self, match: Match, scope: Message, receive: Receive, send: Send, style: AnswerStyle
    ) -> None:
        """Check the key, wait for a place, run the function and answer."""


class ScoringSurface:
    """Answers for the scoring function of `match`. `facts` is what its worker has said (fnpack_scoring.facts).

    `has_keys` says whether callers need a key.
    """

    def __init__(
        self, match: Match, invoker: Invoker, facts: Mapping[str, object], *, has_keys: bool
    ) -> None:
        self.match, self._invoker, self._has_keys = match, invoker, has_keys
        self._page = ApiPage()
        self._shows_version = facts.get("shows_version") is not False
        self.style = _Style(is_strict=facts.get("strict") is True)

    def takes(self, path: str, match: Match | None) -> bool:
        """Whether a request for `path` is the surface's, if the app's routes say `match`."""
        is_own = match is None or match.route.function is self.match.route.function
        return is_own and (path in ("/", "/score", "/swagger.json") or self._page.takes(path))

    async def answer(self, path: str, scope: Message, receive: Receive, send: Send, front: Front) -> None:
        """Answer one request (ASGI)."""
        if self._page.takes(path):
            await self._page.answer(path, scope, receive, send)
            return
        answer = _Answer(scope)
        sending = answer.sending(send)
        try:
            self._add_headers(answer)
        except IdTooLong as error:
            await self.style.message(431, str(error)).send(sending)
        else:
            await self._dispatch(path, scope, receive, sending, front)
        answer.log(path)

    def completed(self, scope: Message, respond: Respond) -> Respond:
        """`respond` for a call of `/score`: the answer gets the headers that all have, and a line in the log.

        Raises IdTooLong.
        """
        answer = _Answer(scope)
        self._add_headers(answer)

        def respond_completed(response: Response) -> None:
            respond(answer.completed(response))
            answer.log("/score")

        return respond_completed

    def _add_headers(self, answer: _Answer) -> None:
        answer.headers += RequestIds.read(answer.scope).headers()
        if self._shows_version:
            answer.headers.append((b"x-ms-server-version", SERVER))

    async def _dispatch(self, path: str, scope: Message, receive: Receive, send: Send, front: Front) -> None:
        method = scope["method"]
        allowed = {"/score": ("GET", "POST", "OPTIONS")}.get(path, ("GET", "HEAD"))
        if method not in allowed:
            allow = [(b"allow", ", ".join(allowed).encode())]
            await reply(send, 405, _body("Method not allowed"), JSON, allow)
        elif path == "/":
            up = front.ready
            body = b"Healthy" if up else _REASONS[503].encode()
            await reply(send, 200 if up else 503, body, HTML if self.style.is_strict else TEXT)
        elif path == "/swagger.json":
            await self._document(scope, send, front)
        elif method == "OPTIONS":
            await reply(send, 200)
        else:
            await front.call(self.match, scope, receive, send, self.style)

    async def _document(self, scope: Message, send: Send, front: Front) -> None:
        """The API document, for those who may call the function: it shows samples of its data."""
        function = self.match.route.function
        refused = (
            503 if not front.ready else 404 if function.is_disabled else front.refusal(self.match, scope)
        )
        if refused:
            await self.style.refusal(refused).send(send)
            return
        version = query_of(scope["query_string"]).get("version", "2")
        try:
            frame = await self._invoker.openapi(function, version, has_keys=self._has_keys)
        except (InvocationError, WorkerLost) as error:
            log.error("%s: no API document: %s", function.name, error)
            await self.style.refusal(500).send(send)
        else:
            await Response.of_facts(frame.facts, frame.payload).send(send)


@dataclass(frozen=True, slots=True)
class _Style:
    """Answers as SDK v1's server gave them: errors as `{"message": ...}`, and how long `run` took."""

    is_strict: bool
    text_as_json: bool = True

    def refusal(self, status: int) -> Response:
        """The answer to a call that reached no script, or whose script ended its process."""
        if status == 500 and self.is_strict:
            return Response.make(500, _CRASHED, HTML)
        return self.message(status, _REASONS.get(status, "the request was refused"))

    def message(self, status: int, text: str) -> Response:
        """A message."""
        return Response.make(status, _body(text), JSON, [(_FAILED, b"False")])

    def answer(self, facts: Mapping[str, object], body: bytes) -> Response:
        """What a script gave."""
        given = facts.get("headers")
        headers = {_FAILED.decode(): "False", **(given if isinstance(given, dict) else {})}
        took = facts.get("ms")
        if isinstance(took, float | int):
            headers["x-ms-run-fn-exec-ms"] = f"{took:.3f}"
        return Response.of_facts({**facts, "headers": headers}, body)


class _Answer:
    """One answer on its way: gets the headers that all have, and a line in the log."""

    def __init__(self, scope: Message) -> None:
        self.scope = scope
        self._started = time.perf_counter()
        self._status = self._size = 0
        self.headers: list[tuple[bytes, bytes]] = []

    def sending(self, send: Send) -> Send:
        """`send`, through here."""

        async def send_through(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = self._begin(message["status"], message["headers"])
            else:
                self._size += len(message.get("body", b""))
            await send(message)

        return send_through

    def completed(self, response: Response) -> Response:
        """`response` with its headers."""
        self._size = len(response.body)
        return response._replace(headers=self._begin(response.status, response.headers))

    def _begin(self, status: int, headers: RawHeaders) -> RawHeaders:
        self._status = status
        own = {name for name, _ in headers}
        return [*headers, *(pair for pair in self.headers if pair[0] not in own)]

    def log(self, path: str) -> None:
        """Write the line `METHOD path status 1.234ms bytes`; a probe's only where all is told. Keys stay out."""
        level = logging.DEBUG if path == "/" else logging.INFO
        if self._status and log.isEnabledFor(level):
            query = _KEY.sub(r"\1***", self.scope["query_string"].decode("latin-1"))
            shown = f"{path}?{query}" if query else path
            took_ms = (time.perf_counter() - self._started) * 1000
            log.log(
                level, "%s %s %d %.3fms %d", self.scope["method"], shown, self._status, took_ms, self._size
            )


def _body(text: str) -> bytes:
    return json.dumps({"message": text}).encode()
