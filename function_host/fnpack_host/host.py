"""The host: owns workers, listeners, outputs and the HTTP front of one app, from start to drained stop."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fnpack_host.app.function_app import Function, FunctionApp
from fnpack_host.errors import HostStartError
from fnpack_host.http.asgi import Message, Respond
from fnpack_host.http.control import NotInvocable
from fnpack_host.http.server import Server, bind
from fnpack_host.invoker import HttpCall, Invoker
from fnpack_host.logs import levels_of
from fnpack_host.retrying import Deliverer
from fnpack_host.wiring import Wiring, wire
from fnpack_host.workers.pool import WorkerPool
from fnpack_host.workers.process import InvocationError, WorkerLost
from fnpack_triggers.base import Event, EventGridSink, InvocationFailed, Listener, ManualStart
from fnpack_triggers.errors import FnpackError

if TYPE_CHECKING:
    from fnpack_host.http.assembly import HttpSide

log = logging.getLogger("fnpack.host")

DEFAULT_TIMEOUT_S = 30 * 60.0


@dataclass(frozen=True, slots=True)
class HostOptions:
    """How to run: where to listen, whether keys are enforced, how long a drain may take (seconds)."""

    address: str = "127.0.0.1"
    port: int = 7071
    enforce_keys: bool = False
    grace_s: float = 25.0
    log_as_json: bool = False


class Host:
    """Runs one function app. `start` returns when all is up; `stop` drains and releases everything."""

    def __init__(self, app: FunctionApp, options: HostOptions) -> None:
        self.app = app
        self.options = options
        self.state = "Starting"
        self._pool: WorkerPool | None = None
        self._invoker: Invoker | None = None
        self._server: Server | None = None
        self._http: HttpSide | None = None
        self._answer: Callable[..., Awaitable[None]]  # until there is an HTTP side
        self._background: set[asyncio.Task[None]] = set()
        self._draining: asyncio.Task[None] | None = None
        self._listeners: list[Listener] = []
        self._stopping = asyncio.Event()  # listeners stop: nobody waits for another try
        self._wiring = Wiring()

    @property
    def base_url(self) -> str:
        """Where the front answers."""
        is_local = self.options.address in ("127.0.0.1", "0.0.0.0", "::", "::1")  # noqa: S104 - compared, not bound
        host = "localhost" if is_local else self.options.address
        return f"http://{host}:{self._server.port if self._server else self.options.port}"

    async def start(self) -> None:
        """Bind the port, start the workers, then the listeners. On any failure everything is released again.

        Raises HostStartError (port taken, entry script that fails, no function that can run) or what a trigger
        cannot do without (ConnectionSettingError, ServiceError).
        """
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stop listening, finish and settle what is in flight within the grace period, release the rest."""
        self.state = "Stopping"
        deadline = time.monotonic() + self.options.grace_s
        stops: list[Awaitable[None]] = [self._stop_listeners()]
        if self._draining is not None:  # these listeners still settle what they have
            stops.append(self._draining)
        if self._server is not None:
            stops.append(self._server.stop(self.options.grace_s))
        await asyncio.gather(*stops)
        if self._pool is not None:
            if not await self._pool.drain(max(0.0, deadline - time.monotonic())):
                log.warning("calls were still running after %g s; they are ended", self.options.grace_s)
            await self._pool.stop()
        await self._wiring.close()
        if self._http is not None:
            await self._http.close()
        self.state = "Stopped"

    async def _start(self) -> None:
        options = self.options
        self._server = Server(self._serve, bind(options.address, options.port), self._take)
        if self.app.script is None:
            self._wire()  # before user code loads: a wrong binding is told at once
        self._pool = WorkerPool(
            self.app.start_facts(),
            self._worker_environ(),
            count=self._worker_count(),
            timeout_s=self._timeout_s(),
        )
        # The port answers (503) while user code loads, so that a probe can tell "starting" from "absent". The worker
        # is spawned first: it boots while this process imports what it needs to serve.
        _, _ = await asyncio.gather(self._pool.start(), self._start_server(self._server))
        self._learn(self._pool.started_facts)
        self._invoker = Invoker(self._pool, self._wiring)
        from fnpack_host.http.assembly import assemble

        self._http = await assemble(
            self.app,
            self._invoker,
            self,
            enforce_keys=options.enforce_keys,
            sinks=self._sinks,
            scoring=_mapping(self._pool.started_facts.get("scoring")),
        )
        for name, error in self._http.errors.items():
            log.error("function %s cannot be called: %s", name, error)
        await self._start_listeners()
        self._http.front.ready = True
        self.state = "Running"

    # --- what the admin endpoints ask for (HostControl) ---

    @property
    def pending(self) -> int:
        """Calls that have no answer yet."""
        return self._pool.pending if self._pool is not None else 0

    def errors(self) -> dict[str, str]:
        """Why functions cannot run, by function name."""
        errors = {function.name: function.error for function in self.app.functions if function.error}
        return {**errors, **(self._http.errors if self._http is not None else {})}

    async def drain(self) -> None:
        """Stop the listeners; HTTP goes on."""
        if self.state == "Running":
            self.state = "Draining"
            log.info("draining: listeners stop, HTTP goes on")
            self._draining = asyncio.ensure_future(self._stop_listeners())

    async def resume(self) -> None:
        """Start the listeners again."""
        if self.state == "Draining":
            if self._draining is not None:
                await self._draining
            fresh = wire(self.app, [f for f in self.app.functions if f.is_runnable])
            self._wiring.listeners = fresh.listeners  # a listener that was stopped does not start again
            await fresh.close()
            await self._start_listeners()
            self.state = "Running"
            log.info("resumed")

    async def restart(self) -> None:
        """Put fresh workers in the place of those that run; calls in flight finish in the old ones."""
        if self._pool is not None:
            log.info("workers are replaced")
            await self._pool.restart()

    async def invoke(self, function: Function, text: str) -> None:
        """Start a function by hand, with `text` as its trigger's input. Raises NotInvocable."""
        listener: object = self._wiring.listeners.get(function.name)
        if self._invoker is None or function.error is not None:
            raise NotInvocable(
                f"function {function.name} cannot run: {function.error or 'the host is starting'}"
            )
        if function.is_http:
            self._in_background(self._call(function, text))
        elif isinstance(listener, ManualStart):
            self._in_background(listener.start_by_hand(text))
        elif function.trigger.type == "blobtrigger":
            raise NotInvocable(
                f"function {function.name}: this host starts blob functions by writing a blob only"
            )
        else:
            self._in_background(self._deliver(function)(Event(text.encode(), {}, "started by hand")))

    async def _call(self, function: Function, text: str) -> None:
        assert self._invoker is not None
        url = f"{self.base_url}/admin/functions/{function.name}"
        await self._invoker.answer(function, HttpCall("POST", url, {"host": "localhost"}, text.encode()))

    def _in_background(self, work: Coroutine[None, None, object]) -> None:
        async def run() -> None:
            try:
                await work
            except (InvocationError, WorkerLost, InvocationFailed):
                pass  # logged by the invoker
            except FnpackError as error:
                log.error("%s", error)

        task = asyncio.ensure_future(run())
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    # --- listeners ---

    def _sinks(self) -> dict[str, EventGridSink]:
        """The blob triggers that Event Grid tells of blobs."""
        return {
            name: sink for name, sink in self._wiring.listeners.items() if isinstance(sink, EventGridSink)
        }

    async def _start_listeners(self) -> None:
        self._stopping = asyncio.Event()
        for function in self.app.functions:
            if function.is_runnable and (listener := self._wiring.listeners.get(function.name)):
                await listener.start(self._deliver(function))
                self._listeners.append(listener)

    async def _stop_listeners(self) -> None:
        self._stopping.set()
        listeners, self._listeners = self._listeners, []
        for result in await asyncio.gather(*(one.stop() for one in listeners), return_exceptions=True):
            if isinstance(result, BaseException):
                log.error("while stopping: %s", result)

    def _wire(self) -> None:
        self._wiring = wire(self.app, [f for f in self.app.functions if f.error is None])
        self.app = self.app.with_errors(self._wiring.errors)
        for function in self.app.functions:
            if function.error:
                log.error("function %s cannot run: %s", function.name, function.error)
        for ignored in self.app.ignored_retries():
            log.warning("%s", ignored)
        self._check_that_any_runs()

    def _learn(self, started: Mapping[str, object]) -> None:
        """Take what the worker says: the functions of a v2 app, and which functions could not be loaded."""
        if self.app.script is not None:
            self.app = self.app.indexed(started.get("functions"))
            self._wire()
        errors = started.get("errors")
        if isinstance(errors, dict) and errors:
            for name, error in errors.items():
                log.error("function %s cannot run: %s", name, error)
            self.app = self.app.with_errors(errors)
            self._check_that_any_runs()

    def _check_that_any_runs(self) -> None:
        if not any(function.is_runnable for function in self.app.functions):
            raise HostStartError(
                f"no function of {self.app.root} can run", hint="the lines above say why, one each"
            )

    def _deliver(self, function: Function) -> Deliverer:
        assert self._invoker is not None
        return Deliverer(self._invoker, function, self.app.retry_of(function), self._stopping)

    async def _start_server(self, server: Server) -> None:
        from fnpack_host.http import assembly  # noqa: F401 - a large import, out of the way when the worker is up
        from fnpack_host.http.front import starting

        self._answer = starting
        await server.start()

    def _take(self, scope: Message, body: bytes, respond: Respond) -> bool:
        return self._http is not None and self._http.front.take(scope, body, respond)

    async def _serve(self, scope: object, receive: object, send: object) -> None:
        await (self._http.front if self._http is not None else self._answer)(scope, receive, send)  # type: ignore[arg-type]

    def _worker_environ(self) -> Mapping[str, str]:
        extra = {
            "FNPACK_LOG_FORMAT": "json" if self.options.log_as_json else "text",
            "FNPACK_WORKER_LOG_LEVEL": levels_of(self.app.host_json).worker_level,
        }
        return {**os.environ, **self.app.settings, **extra}

    def _worker_count(self) -> int:
        settings = self.app.settings
        is_scoring = any(function.is_scoring for function in self.app.functions)
        # WORKER_COUNT is SDK v1's name; Azure's own wins.
        default = settings.whole_number("WORKER_COUNT", 1, 1, 10) if is_scoring else 1
        return settings.whole_number("FUNCTIONS_WORKER_PROCESS_COUNT", default, 1, 10)

    def _timeout_s(self) -> float | None:
        return self.app.host_json.seconds("functionTimeout", DEFAULT_TIMEOUT_S)


def _mapping(facts: object) -> Mapping[str, object]:
    return facts if isinstance(facts, dict) else {}
