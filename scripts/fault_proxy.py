"""An HTTP proxy before one server, which counts requests and does to some of them what networks and servers do."""

from __future__ import annotations

import http.client
import re
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from loopback_server import LoopbackServer

BLOCK_BYTES = 64 * 1024


@dataclass
class Fault:
    """What happens to the next `times` requests of a kind, after `skip` of them passed.

    One of: `status` is answered (with `headers` and `body`) without asking the server; the connection is `cut` after so
    many bytes of the request's body were handed on; the answer is `truncated` after so many bytes. `is_kept` makes a
    cut one that the server keeps the bytes of, and tells so when it is asked, as OCI's specification has it.
    """

    method: str
    path: str = ".*"
    times: int = 1
    skip: int = 0
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    cut: int | None = None
    is_kept: bool = False
    truncated: int | None = None
    seen: int = 0

    def hits(self, method: str, path: str) -> bool:
        """Whether it is this request's turn."""
        if method != self.method or not re.search(self.path, path):
            return False
        self.seen += 1
        return self.skip < self.seen <= self.skip + self.times


class FaultProxy(LoopbackServer):
    """The proxy; `address` stands for the server's. `delay_s` is added to each request, as a round trip would be."""

    def __init__(self, upstream: str, delay_s: float = 0.0) -> None:
        self.upstream, self.delay_s = upstream, delay_s
        self.requests: list[tuple[str, str]] = []
        self.connections = 0
        self.sent_bytes = 0  # of request bodies
        self.headers: list[dict[str, str]] = []
        self.changes: list[Callable[[str, str, dict[str, str]], None]] = []  # may change an answer's headers
        self.faults: list[Fault] = []
        self.uploads: dict[str, str] = {}  # path of an upload -> the target that the server knows it by now
        self.lock = threading.Lock()
        super().__init__(_Handler, _Server)

    def add(self, fault: Fault) -> Fault:
        """Let it happen from now on."""
        with self.lock:
            self.faults.append(fault)
        return fault

    def methods(self, path: str = ".*") -> list[str]:
        """The methods of the requests so far, in order, to paths that match."""
        return [method for method, asked in self.requests if re.search(path, asked)]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: object, client_address: object) -> None:
        """Connections break off here by design."""


class _Handler(BaseHTTPRequestHandler):
    owner: FaultProxy
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def setup(self) -> None:
        super().setup()
        self._upstream: http.client.HTTPConnection | None = None
        with self.owner.lock:
            self.owner.connections += 1
        time.sleep(self.owner.delay_s)  # a connection costs a round trip too

    def finish(self) -> None:
        super().finish()
        if self._upstream is not None:
            self._upstream.close()

    def log_message(self, *_: object) -> None:
        pass

    def _handle(self) -> None:
        with self.owner.lock:
            self.owner.requests.append((self.command, self.path))
            self.owner.headers.append(dict(self.headers.items()))
            fault = next((one for one in self.owner.faults if one.hits(self.command, self.path)), None)
        time.sleep(self.owner.delay_s)
        if fault is not None and fault.status is not None:
            self._skip_body()
            self.send_response(fault.status)
            for name, value in {**fault.headers, "Content-Length": str(len(fault.body))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(fault.body)
            return
        try:
            self._forward(fault)
        except (OSError, http.client.HTTPException):
            self.close_connection = True

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _handle  # noqa: N815 - http.server's names

    def _skip_body(self) -> None:
        left = int(self.headers.get("Content-Length") or 0)
        while left and (block := self.rfile.read(min(left, BLOCK_BYTES))):
            left -= len(block)

    def _forward(self, fault: Fault | None) -> None:
        if self._upstream is None:
            self._upstream = http.client.HTTPConnection(self.owner.upstream, timeout=30)
        upstream = self._upstream
        left, cut = int(self.headers.get("Content-Length") or 0), fault.cut if fault else None
        is_kept = cut is not None and fault is not None and fault.is_kept
        target = self.owner.uploads.get(self._upload, self.path) if self.command == "GET" else self.path
        upstream.putrequest(self.command, target, skip_host=True, skip_accept_encoding=True)
        for (
            name,
            value,
        ) in self.headers.items():  # the Host is ours, so that the server names us in its Location
            shorter = is_kept and name.lower() == "content-length"
            upstream.putheader(name, str(cut) if shorter else value)
        upstream.endheaders()
        handed_on = 0
        while left or cut == 0:
            if cut is not None and handed_on >= cut:
                self._break_off(upstream, is_kept=is_kept)
                return
            block = self.rfile.read(min(left, BLOCK_BYTES, cut - handed_on if cut else left))
            upstream.send(block)
            left -= len(block)
            handed_on += len(block)
            with self.owner.lock:
                self.owner.sent_bytes += len(block)
        self._answer(upstream.getresponse(), fault)

    def _break_off(self, upstream: http.client.HTTPConnection, *, is_kept: bool) -> None:
        if is_kept:
            response = upstream.getresponse()
            response.read()
            location = urlsplit(response.headers["Location"])
            self.owner.uploads[self._upload] = f"{location.path}?{location.query}"
        upstream.close()
        self._upstream = None
        self.connection.shutdown(socket.SHUT_RDWR)
        self.close_connection = True

    @property
    def _upload(self) -> str:
        return self.path.partition("?")[0]

    def _answer(self, response: http.client.HTTPResponse, fault: Fault | None) -> None:
        headers = {
            name: value for name, value in response.getheaders() if name.lower() != "transfer-encoding"
        }
        for change in self.owner.changes:
            change(self.command, self.path, headers)
        data = response.read() if "Content-Length" not in headers else None
        if data is not None and self.command != "HEAD":
            headers["Content-Length"] = str(len(data))
        self.send_response_only(response.status, response.reason)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        left = fault.truncated if fault and fault.truncated is not None else None
        while block := data if data is not None else response.read(BLOCK_BYTES):
            if left is not None and left <= len(block):
                self.wfile.write(block[:left])
                self.wfile.flush()
                self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True
                response.close()
                return
            left = left - len(block) if left is not None else None
            self.wfile.write(block)
            data = None if data is None else b""
