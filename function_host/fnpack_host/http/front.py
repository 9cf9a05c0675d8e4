"""The ASGI application: reads a request, checks its key, hands it to a function and answers.

It never lets an error of user code reach the caller: a failed function is an empty 500, as in Azure Functions.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from typing import Protocol

from fnpack_host.http.asgi import (
    TEXT,
    Message,
    RawHeaders,
    Receive,
    Respond,
    Send,
    reply,
    with_headers,
)
from fnpack_host.http.body import BodyTooLarge, ClientGone, read_body
from fnpack_host.http.cors import Cors
from fnpack_host.http.gate import RequestGate
from fnpack_host.http.key_ring import KeyRing
from fnpack_host.http.options import HttpOptions
from fnpack_host.http.request import (
    BadRequest,
    decoded_path,
    headers_of,
    is_plain,
    query_of,
    url_of,
)
from fnpack_host.http.request_ids import IdTooLong
from fnpack_host.http.routes import Match, Routes
from fnpack_host.http.scoring_surface import ScoringSurface
from fnpack_host.http.style import AZURE, AnswerStyle
from fnpack_host.invoker import HttpCall, Invoker
from fnpack_host.worker.protocol import Frame
from fnpack_host.workers.process import InvocationError, WorkerLost

log = logging.getLogger("fnpack.host.http")

KEY_HEADER = b"x-functions-key"
BEARER = b"bearer "
LINGER_S = 5.0
MAX_KNOWN = 1000
SCORE_PATH = b"/score"


class Area(Protocol):
    """What answers a part of all paths: the admin endpoints, the webhooks, the home page."""

    async def answer(self, path: str, scope: Message, receive: Receive, send: Send) -> None:
        """Answer a request whose path is `path`, decoded (ASGI)."""


class Front:
    """The host's HTTP side. `ready` turns true once workers and listeners are up; until then functions answer 503.

    `keys` is None where access is open to all. `areas` (`/admin/`, ...) come before functions, the home page after.
    `scoring` is there for an app with an HTTP entry script, `cors` where other sites' pages may call it.
    """

    def __init__(
        self,
        routes: Routes,
        invoker: Invoker,
        keys: KeyRing | None,
        options: HttpOptions,
        *,
        areas: Mapping[str, Area],
        home: Area,
        scoring: ScoringSurface | None = None,
        cors: Cors | None = None,
    ) -> None:
        self._routes, self._invoker, self._keys, self._options = routes, invoker, keys, options
        self._areas, self._home, self._scoring, self._cors = areas, home, scoring, cors
        # What was found before, where there are no route values; and which of it `take` answers.
        self._known: dict[tuple[str, bytes], Match] = {}
        self._direct: dict[tuple[str, bytes], tuple[Match, AnswerStyle]] = {}
        self._is_limited = max(options.max_concurrent_requests, options.max_outstanding_requests) >= 0
        adds_headers = cors is not None or options.custom_headers or options.hsts is not None
        self._is_plain = not self._is_limited and not adds_headers
        self._gate = RequestGate(options.max_concurrent_requests, options.max_outstanding_requests)
        self.ready = False

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request (ASGI)."""
        if scope["type"] != "http":
            return
        if self._options.custom_headers or self._options.hsts is not None:
            send = with_headers(send, self._added_headers(scope))
        if self._cors is not None:
            if await self._cors.answer_preflight(scope, send):
                return
            send = self._cors.allow(scope, send)
        try:
            known = self._known.get((scope["method"], scope["raw_path"]))
            if known is not None:
                await self.call(known, scope, receive, send, AZURE)
            else:
                await self._look_up(scope, receive, send)
        except BadRequest as error:
            await reply(send, 400, f"Bad request: {error}".encode(), TEXT, [(b"connection", b"close")])
        except BodyTooLarge:
            await refuse_body(scope, receive, send)
        except ClientGone:
            log.debug("%s %s: the client left before its body was whole", scope["method"], scope["path"])

    def take(self, scope: Message, body: bytes, respond: Respond) -> bool:
        """Answer a request whose body is whole without a task of its own, where nothing has to be waited for.

        Returns whether it is taken: `respond` is then called once, else the request is for `__call__`.
        """
        direct = self._direct.get((scope["method"], scope["raw_path"]))
        if direct is None or not self.ready or len(body) > self._options.max_body_bytes:
            return False
        match, style = direct
        function = match.route.function
        if function.is_disabled or self.refusal(match, scope):
            return False
        try:
            call = call_of(match, scope, body, text_as_json=style.text_as_json)
            if self._scoring is not None and style is not AZURE:
                respond = self._scoring.completed(scope, respond)
        except (BadRequest, IdTooLong):
            return False

        def done(frame: Frame | None) -> None:
            # Other calls' answers come in the same turn: they must not be lost with this one.
            try:
                response = style.refusal(500) if frame is None else style.answer(frame.facts, frame.payload)
            except Exception:
                log.exception("%s: its answer cannot be sent", function.name)
                response = style.refusal(500)
            respond(response)

        self._invoker.start(function, call, done)
        return True

    async def _look_up(self, scope: Message, receive: Receive, send: Send) -> None:
        raw_path: bytes = scope["raw_path"]
        path = raw_path.decode() if is_plain(raw_path) else decoded_path(raw_path)
        area = self._area(path)
        if area is not None:
            await area.answer(path, scope, receive, send)
            return
        match = self._routes.find(scope["method"], path)
        if self._scoring is not None and self._scoring.takes(path, match):
            if raw_path == SCORE_PATH and scope["method"] == "POST":
                self._remember(self._scoring.match, scope, self._scoring.style)
            await self._scoring.answer(path, scope, receive, send, self)
        elif match is not None:
            if not match.values and len(self._known) < MAX_KNOWN:
                self._known[scope["method"], raw_path] = match
                self._remember(match, scope, AZURE)
            await self.call(match, scope, receive, send, AZURE)
        elif path == "/":
            await self._home.answer(path, scope, receive, send)
        else:
            await reply(send, 404)

    def _remember(self, match: Match, scope: Message, style: AnswerStyle) -> None:
        """Let `take` answer such requests, if it can."""
        if self._is_plain and scope["method"] != "HEAD" and self._invoker.is_direct(match.route.function):
            self._direct[scope["method"], scope["raw_path"]] = match, style

    def _area(self, path: str) -> Area | None:
        folded = path.lower()
        return next((area for prefix, area in self._areas.items() if folded.startswith(prefix)), None)

    async def call(
        self, match: Match, scope: Message, receive: Receive, send: Send, style: AnswerStyle
    ) -> None:
        """Check the key, wait for a place, run the function and answer (ASGI)."""
        if not self.ready:
            await style.refusal(503).send(send)
            return
        refused = self.refusal(match, scope)
        if match.route.function.is_disabled and not await self._is_admin(scope):
            await style.refusal(404).send(send)
        elif refused:
            await style.refusal(refused).send(send)
        elif not self._is_limited:
            await self._run(match, scope, receive, send, style)
        elif await self._gate.enter():
            try:
                await self._run(match, scope, receive, send, style)
            finally:
                self._gate.leave()
        else:
            await style.refusal(429).send(send)

    async def _is_admin(self, scope: Message) -> bool:
        return self._keys is not None and await self._keys.allow_admin(given_key(scope))

    def refusal(self, match: Match, scope: Message) -> int:
        """The status for a caller who may not call the function, or 0."""
        route = match.route
        if route.auth_level == "anonymous" or self._keys is None:
            return 0
        given = given_key(scope)
        if not given and route.function.is_scoring:
            given = bearer_key(scope)
        return 0 if self._keys.keys.allow(route.auth_level, route.function.name, given) else 401

    async def _run(
        self, match: Match, scope: Message, receive: Receive, send: Send, style: AnswerStyle
    ) -> None:
        limit = self._options.max_body_bytes
        call = await read_call(match, scope, receive, limit, text_as_json=style.text_as_json)
        try:
            frame = await self._invoker.answer(match.route.function, call)
        except (InvocationError, WorkerLost):
            await style.refusal(500).send(send)  # logged by the invoker
        else:
            await style.answer(frame.facts, frame.payload).send(send)

    def _added_headers(self, scope: Message) -> RawHeaders:
        hsts = self._options.hsts
        if hsts is None:
            return self._options.custom_headers
        headers = dict(scope["headers"])
        host = headers.get(b"host", b"").decode("latin-1").lower()
        name = host if host.endswith("]") else host.rpartition(":")[0] or host
        # TLS ends at a proxy in front of the host, which says so in this header.
        is_secure = headers.get(b"x-forwarded-proto", b"").strip().lower() == b"https"
        if not is_secure or name in hsts.excluded_hosts:
            return self._options.custom_headers
        return [*self._options.custom_headers, (b"strict-transport-security", hsts.value)]


async def read_call(
    match: Match, scope: Message, receive: Receive, limit: int, *, text_as_json: bool = False
) -> HttpCall:
    """The whole request as a function gets it. Raises BadRequest, BodyTooLarge or ClientGone."""
    call = call_of(match, scope, b"", text_as_json=text_as_json)
    call.body = await read_body(call.headers.get("content-length", ""), receive, limit)
    return call


def call_of(match: Match, scope: Message, body: bytes, *, text_as_json: bool = False) -> HttpCall:
    """A request as a function gets it. Raises BadRequest."""
    headers = headers_of(scope)
    if "host" not in headers and scope["http_version"] == "1.1":
        raise BadRequest("the host header is missing")
    url = url_of(scope, headers.get("host", ""))
    query = query_of(scope["query_string"]) if scope["query_string"] else {}
    return HttpCall(scope["method"], url, headers, body, match.values, query, text_as_json)


def given_key(scope: Message) -> str:
    """The key a request carries: the header wins over `?code=`."""
    for name, value in scope["headers"]:
        if name == KEY_HEADER:
            return str(value, "latin-1")
    if b"code=" not in scope["query_string"].lower():
        return ""
    query = {name.lower(): value for name, value in query_of(scope["query_string"]).items()}
    return query.get("code", "")


def bearer_key(scope: Message) -> str:
    """The key in `Authorization: Bearer KEY`, as clients of SDK v1 send it."""
    for name, value in scope["headers"]:
        if name == b"authorization" and value[: len(BEARER)].lower() == BEARER:
            return str(value[len(BEARER) :].strip(), "latin-1")
    return ""


async def refuse_body(scope: Message, receive: Receive, send: Send) -> None:
    """Answer 413 and close, but read on for a while first: a client that still sends would not see the answer."""
    await send(
        {
            "type": "http.response.start",
            "status": 413,
            "headers": [(b"content-length", b"0"), (b"connection", b"close")],
        }
    )
    expects = any(name == b"expect" for name, _ in scope["headers"])
    if not expects:  # such a client waits for leave to send
        await send({"type": "http.response.body", "body": b"", "more_body": True})
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(_discard(receive), LINGER_S)
    await send({"type": "http.response.body", "body": b""})


async def _discard(receive: Receive) -> None:
    while (await receive()).get("more_body"):
        pass


async def starting(scope: Message, receive: Receive, send: Send) -> None:
    """Answers while user code loads, when it is not known yet which functions there are (ASGI)."""
    if scope["type"] == "http":
        await reply(send, 503, b"Function host is not running.", TEXT)
