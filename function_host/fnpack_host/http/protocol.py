"""One HTTP connection: uvicorn's, with limits on what a client may send before its body, and on how slowly.

The limits are those of Kestrel, Azure Functions' server. They cost next to nothing per request: sizes are added up
where a request is large or comes in pieces, and time is looked at by one sweep over all connections each second.
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from fnpack_host.http.asgi import Message, Respond, Response

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application, ASGISendEvent

MAX_LINE_BYTES = 8 * 1024
MAX_HEAD_BYTES = 32 * 1024
MAX_HEADERS = 100
KEEP_ALIVE_S = 130
HEAD_TIMEOUT_S = 30.0
MIN_BYTES_PER_S = 240.0
SLOW_GRACE_S = 5.0
STUCK_ANSWER_S = 60.0
COPIED_BYTES = 64 * 1024


class _Whole(RequestResponseCycle):
    """A request whose answer's head leaves together with the first piece of its body: one system call, not two.

    ASGI lets a server wait with the head until there is a body.
    """

    _head: ASGISendEvent | None = None

    async def send(self, message: ASGISendEvent) -> None:
        """Take a piece of the answer."""
        if message["type"] == "http.response.start" and not self.response_started:
            self._head = message
            return
        head, self._head = self._head, None
        if head is None:
            await super().send(message)
            return
        joined = _Joined(self.transport)
        self.transport = cast("asyncio.Transport", joined)  # all that is asked of it here
        try:
            await super().send(head)
            await super().send(message)
        finally:
            self.transport = joined.release()


class _Joined:
    """Keeps what is written, and whether to close, until `release`."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport, self._is_closed = transport, False
        self._pieces: list[bytes] = []

    def write(self, data: bytes) -> None:
        """Keep `data`."""
        self._pieces.append(data)

    def close(self) -> None:
        """Close after that."""
        self._is_closed = True

    def release(self) -> asyncio.Transport:
        """Write all at once; returns the transport. Nothing was kept where the client is gone."""
        if self._pieces:
            write_together(self._transport, self._pieces)
        if self._is_closed:
            self._transport.close()
        return self._transport


class _Refused(Exception):  # noqa: N818 - stops the parser
    """The head of a request is over a limit."""


class GuardedProtocol(HttpToolsProtocol):
    """An HTTP/1.1 connection that ends where the client sends too much, or too slowly."""

    _unstarted: RequestResponseCycle | None = None  # its head is whole, and its body may be in what is read
    _answering: RequestResponseCycle | None = None  # `cycle` is the newest request, which may wait behind it
    _refusal = 400
    _head_bytes = 0  # what came before of a head that is not whole yet
    _is_in_head = False
    _received = 0  # since the last sweep
    _unsent = 0
    _slow_since = 0.0  # 0.0: not slow
    _stuck_since = 0.0
    _swept_at = 0.0
    _head_since = 0.0

    def __init__(self, take: Callable[[Message, bytes, Respond], bool], **settings: Any) -> None:
        super().__init__(**settings)
        self._take = take

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the clock for the first request's head."""
        super().connection_made(transport)
        self._head_since = self._swept_at = time.monotonic()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the request that is being answered; uvicorn tells only the newest one."""
        answering = self._answering
        if answering is not None and not answering.response_complete:
            answering.disconnected = True
            answering.message_event.set()
        self.pipeline.clear()
        super().connection_lost(exc)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._answering = cycle
        if self._is_in_head and cycle.more_body:  # not one that waited for another's answer
            self._unstarted = cycle
        else:
            self._start_task(cycle)

    def _start_task(self, cycle: RequestResponseCycle) -> None:
        cycle.__class__ = _Whole  # uvicorn has no other way to choose the class
        super()._start_asgi_task(cycle, self.app)

    def on_message_complete(self) -> None:
        """Have a request that came in one piece answered at once, where that is possible."""
        super().on_message_complete()
        cycle = self._unstarted
        if cycle is None or cycle.more_body or cycle.waiting_for_100_continue or self.flow.write_paused:
            return
        scope = cast("Message", cycle.scope)
        if self._take(scope, bytes(cycle.body), functools.partial(self._respond, cycle)):
            self._unstarted = None

    def _respond(self, cycle: RequestResponseCycle, response: Response) -> None:
        """Send a whole answer to a request that has no task."""
        cycle.on_response = _nothing
        if cycle.disconnected:
            return
        pieces = [STATUS_LINE[response.status]]
        for name, value in (*cycle.default_headers, *response.headers):
            pieces += (name, b": ", value, b"\r\n")
        pieces.append(b"\r\n" if cycle.keep_alive else b"connection: close\r\n\r\n")
        cycle.response_started = cycle.response_complete = True
        pieces.append(response.body)
        write_together(self.transport, pieces)
        if not cycle.keep_alive:
            self.transport.close()
        self.on_response_complete()

    def data_received(self, data: bytes) -> None:
        """Take bytes. A head that comes in pieces is counted here, a whole one in `on_headers_complete`."""
        self._received += len(data)
        if self._is_in_head and self._head_bytes > MAX_LINE_BYTES + MAX_HEAD_BYTES:
            self.refuse(431)
            return
        super().data_received(data)
        if self._is_in_head:
            self._head_bytes += len(data)
        if self._unstarted is not None:
            cycle, self._unstarted = self._unstarted, None
            self._start_task(cycle)

    def on_message_begin(self) -> None:
        """Start the clock for a request's head."""
        self._is_in_head, self._head_bytes = True, 0
        self._head_since = 0.0  # the next sweep sets it: a head takes longer than that, or does not matter
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Refuse a head that is too large, before anything acts on it."""
        if self._received + self._head_bytes > MAX_LINE_BYTES or len(self.headers) > MAX_HEADERS:
            self._refusal = _over_limit(self.url, self.headers) or 400
            if self._refusal != 400:
                raise _Refused
        super().on_headers_complete()
        self._is_in_head = False

    def send_400_response(self, msg: str) -> None:
        """The answer to what cannot be read: 400, or 414 and 431 for what is too large."""
        self.refuse(self._refusal)

    def refuse(self, status: int) -> None:
        """Answer with an error, where no answer has begun, and close."""
        if self.transport.is_closing():
            return
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is None or cycle.response_complete or not cycle.response_started:
            head = b"content-length: 0\r\nconnection: close\r\n\r\n"
            self.transport.write(STATUS_LINE[status] + head)
        self.transport.close()

    def sweep(self, now: float) -> None:
        """Called about once a second: end what is too slow."""
        seconds, received = now - self._swept_at, self._received
        self._swept_at, self._received = now, 0
        cycle: RequestResponseCycle | None = self.cycle  # uvicorn has no type for "none yet"
        if cycle is None and not self._is_in_head:  # nothing came yet
            if now - self._head_since > HEAD_TIMEOUT_S:
                self.transport.close()
        elif self._is_in_head:
            self._head_since = self._head_since or now
            if now - self._head_since > HEAD_TIMEOUT_S:
                self.refuse(408)
        elif cycle is not None and cycle.more_body and not cycle.response_complete:
            is_waiting = cycle.waiting_for_100_continue or self.flow.read_paused
            if is_waiting or received >= MIN_BYTES_PER_S * seconds:
                self._slow_since = 0.0
            else:
                self._slow_since = self._slow_since or now
                if now - self._slow_since > SLOW_GRACE_S:
                    self.refuse(408)
        self._sweep_answer(now)

    def _sweep_answer(self, now: float) -> None:
        """Let go of a client that does not take its answer."""
        unsent = self.transport.get_write_buffer_size()
        if not unsent or unsent != self._unsent:
            self._unsent, self._stuck_since = unsent, now
        elif now - self._stuck_since > STUCK_ANSWER_S:
            self.transport.abort()


def _nothing() -> None:
    pass


def write_together(transport: asyncio.Transport, pieces: list[bytes]) -> None:
    """Write in one system call where it costs no copy of much; a large body, the last piece, goes by itself."""
    if len(pieces[-1]) <= COPIED_BYTES:
        transport.write(b"".join(pieces))
    else:
        transport.write(b"".join(pieces[:-1]))
        transport.write(pieces[-1])


def _over_limit(url: bytes, headers: list[tuple[bytes, bytes]]) -> int:
    """The status for a request line or headers that are too large, or 0."""
    if len(url) > MAX_LINE_BYTES:
        return 414
    size = sum(len(name) + len(value) + 4 for name, value in headers)
    return 431 if size > MAX_HEAD_BYTES or len(headers) > MAX_HEADERS else 0
