"""How another `fnpack dev` asks a running one for queues, topics and subscriptions: one request on the loopback.

It can create entities of a development service that takes every key, and nothing else.
"""

from __future__ import annotations

import http.client
import http.server
import json
import threading
from collections.abc import Callable, Iterable
from dataclasses import asdict
from types import TracebackType
from urllib.parse import urlsplit

from fnpack.dev.errors import DevError
from fnpack.dev.needs import Entity
from fnpack_triggers.errors import FnpackError

_MAX_BYTES = 1024 * 1024
_TIMEOUT_S = 10.0


class ControlServer:
    """Takes requests in a thread and hands each entity to `ensure`; a context manager."""

    def __init__(self, ensure: Callable[[Entity], None]) -> None:
        class Handler(http.server.BaseHTTPRequestHandler):
            timeout = _TIMEOUT_S

            def do_POST(self) -> None:
                """Create what the body lists; 204, or 400 with the reason."""
                status, answer = 204, b""
                try:
                    length = min(int(self.headers.get("Content-Length") or 0), _MAX_BYTES)
                    for facts in json.loads(self.rfile.read(length)):
                        ensure(Entity(**facts))
                except (FnpackError, ValueError, TypeError) as error:
                    status, answer = 400, str(error).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *arguments: object) -> None:
                """Say nothing."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.1,), name="fnpack-dev-control", daemon=True
        )

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> ControlServer:
        """Start."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        self._server.shutdown()
        self._server.server_close()


def ask(url: str, entities: Iterable[Entity]) -> None:
    """Have the `fnpack dev` at `url` create entities. Raises DevError."""
    wanted = [asdict(one) for one in entities]
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=_TIMEOUT_S)
    try:
        connection.request("POST", "/", json.dumps(wanted))
        response = connection.getresponse()
        answer = response.read(1000).decode("utf-8", "replace")
    except (OSError, http.client.HTTPException) as error:
        raise DevError(f"the `fnpack dev` whose services are used does not answer: {error}") from error
    finally:
        connection.close()
    if response.status != 204:
        raise DevError(f"the Service Bus of `fnpack dev` refused: {answer}")
