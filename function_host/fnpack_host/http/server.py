"""The ASGI server under the front: binds the port, serves, stops. The only module that knows uvicorn."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import socket
import time
from collections.abc import Awaitable, Callable
from typing import Any, cast

from fnpack_host.errors import PortTakenError
from fnpack_host.http.asgi import Message, Respond

SWEEP_S = 1.0


def bind(host: str, port: int) -> socket.socket:
    """A socket bound to `host`:`port` (0: any free port). Raises PortTakenError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    try:
        if os.name == "posix":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except (OSError, OverflowError) as error:
        listener.close()
        raise PortTakenError(host, port, getattr(error, "strerror", None) or str(error)) from error
    return listener


class Server:
    """Serves one ASGI application on a bound socket until `stop`; `take` may answer without it (Front.take)."""

    def __init__(
        self,
        app: Callable[..., Awaitable[None]],
        listener: socket.socket,
        take: Callable[[Message, bytes, Respond], bool],
    ) -> None:
        self._app, self._listener, self._take = app, listener, take
        self._server: Any = None  # uvicorn.Server, imported late
        self._task: asyncio.Task[None] | None = None
        self._sweep: asyncio.Task[None] | None = None

    @property
    def port(self) -> int:
        """The port that is listened on."""
        port: int = self._listener.getsockname()[1]
        return port

    async def start(self) -> None:
        """Begin to accept connections."""
        import uvicorn

        from fnpack_host.http.protocol import KEEP_ALIVE_S, GuardedProtocol

        config = uvicorn.Config(
            self._app,
            interface="asgi3",
            proxy_headers=False,
            lifespan="off",
            access_log=False,
            log_config=None,
            server_header=False,
            http=cast("Any", functools.partial(GuardedProtocol, self._take)),
            ws="none",
            timeout_keep_alive=KEEP_ALIVE_S,
            backlog=2048,
        )
        config.load()
        self._server = uvicorn.Server(config)
        self._server.lifespan = config.lifespan_class(config)
        await self._server.startup(sockets=[self._listener])
        self._task = asyncio.ensure_future(self._server.main_loop())
        self._sweep = asyncio.ensure_future(self._sweep_connections())

    async def stop(self, grace_s: float) -> None:
        """Stop listening, let running requests finish for at most `grace_s` seconds, close what is left."""
        if self._server is None or self._task is None:
            self._listener.close()
            return
        self._server.should_exit = True
        self._server.config.timeout_graceful_shutdown = max(1, int(grace_s))
        await self._task
        with contextlib.suppress(asyncio.CancelledError):
            await self._server.shutdown(sockets=[self._listener])
        if self._sweep is not None:
            self._sweep.cancel()
            await asyncio.gather(self._sweep, return_exceptions=True)
        self._server = None

    async def _sweep_connections(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_S)
            now = time.monotonic()
            for connection in list(self._server.server_state.connections):
                connection.sweep(now)
