"""One worker process as the host sees it: its socket, the calls it is busy with, its end."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TextIO, cast

import fnpack_host
from fnpack_host.errors import WorkerStartError
from fnpack_host.worker.protocol import Decoder, Frame, Kind, ProtocolError, encode

log = logging.getLogger("fnpack.host.worker")
STOP_GRACE_S = 5.0
_EXIT_S = 1.0  # from a closed socket to the end of the process
_NO_PROCESS_HINT = "give the host more memory, or raise its limit of processes or open files"


class InvocationError(Exception):
    """The function raised; the text is what it said. Its traceback is in the worker's log lines."""


class WorkerLost(Exception):  # noqa: N818 - names what happened
    """The worker ended in the middle of this call, or was ended because the call ran too long."""


class Answer(Protocol):
    """What waits for a call's end: a future, or what needs no task. It gets one of the two, once."""

    def done(self) -> bool:
        """Whether it has it, or nobody waits any more."""

    def set_result(self, frame: Frame, /) -> None:
        """Take the RESULT frame."""

    def set_exception(self, error: InvocationError | WorkerLost, /) -> None:
        """Take what went wrong."""


@dataclass(slots=True)
class Call:
    """One invocation on its way: what to send, and what waits for its answer."""

    function: str
    facts: Mapping[str, object]
    payload: bytes | memoryview
    answer: Answer
    started: float = field(default=0.0)


class WorkerProcess(asyncio.Protocol):
    """A child process that runs user code. `on_idle` is called when it can take more, `on_end` once when it is gone."""

    _ids = itertools.count(1)

    def __init__(
        self,
        start_facts: Mapping[str, object],
        environ: Mapping[str, str],
        on_end: Callable[[WorkerProcess], None],
        output: TextIO | None = None,  # where log lines go; this process's stdout
    ) -> None:
        self.app_root = Path(str(start_facts["app_root"]))
        self.started_facts: Mapping[str, object] = {}  # what the worker says of the app, once it is up
        self.calls: dict[int, Call] = {}  # in the order sent
        self.overlapping = False
        self.on_answer: Callable[[float], None] = lambda _: None  # gets the call's own duration in seconds
        self._environ, self._start_facts = dict(environ), start_facts
        self._on_end, self._output = on_end, output
        self._decoder = Decoder()
        self._outbox: list[bytes] = []
        self._transport: asyncio.Transport | None = None
        self._started: asyncio.Future[Frame] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: socket.socket | None = None  # from `spawn` to `load`

    @property
    def pid(self) -> int:
        """The process id, 0 before the start."""
        return self._process.pid if self._process else 0

    async def start(self) -> None:
        """`spawn` and `load`."""
        self.spawn()
        await self.load()

    def spawn(self) -> None:
        """Start the process, which boots while this one goes on. Raises WorkerStartError."""
        try:
            self._connection = self._spawn()
        except OSError as error:  # no memory, or no process or file left for another
            raise WorkerStartError(
                self.app_root, f"no process can be started: {error.strerror}", hint=_NO_PROCESS_HINT
            ) from error

    async def load(self) -> None:
        """Wait until the spawned process has loaded user code. Raises WorkerStartError with the traceback."""
        assert self._connection is not None
        ours, self._connection = self._connection, None
        try:
            frame = await self._load(ours)
            if frame.kind is not Kind.STARTED:
                await self.stop()
                raise _start_error(self.app_root, frame)
        except BaseException:  # nobody waits for it any more: it must not go on by itself
            self._end_now()
            raise
        self.started_facts = frame.facts
        self.overlapping = bool(frame.facts.get("overlapping"))

    @property
    def is_up(self) -> bool:
        """Whether a call can be sent; a worker may end between its start and its first call."""
        return self._transport is not None and not self._transport.is_closing()

    def send(self, call: Call) -> None:
        """Hand a call to the worker; its future gets the RESULT frame, InvocationError or WorkerLost."""
        call_id = next(self._ids)
        try:
            pieces = encode(Kind.INVOKE, call_id, call.facts, call.payload)
        except (RecursionError, TypeError, ValueError) as error:  # a message's JSON may be nested that deeply
            call.answer.set_exception(InvocationError(f"its data cannot be handed to a worker: {error}"))
            return
        if self.overlapping or not self.calls:
            call.started = time.monotonic()
        self.calls[call_id] = call
        self._write(pieces)

    def running(self) -> list[Call]:
        """The calls whose clock runs: all of an overlapping worker, else the oldest."""
        return list(self.calls.values()) if self.overlapping else list(self.calls.values())[:1]

    def kill(self) -> None:
        """End the process now; its calls fail with WorkerLost."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()

    async def stop(self) -> None:
        """Ask the worker to finish and end; kill it if it has not after a grace period."""
        if self._process is None:
            return
        if self._connection is not None:  # it was never asked to load
            self._connection.close()
        if self._transport is not None and not self._transport.is_closing():
            self._write(encode(Kind.STOP, 0, {}))
        with contextlib.suppress(subprocess.TimeoutExpired):
            await asyncio.to_thread(self._process.wait, STOP_GRACE_S)
        self.kill()
        await asyncio.to_thread(self._process.wait)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way to the worker."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but name

    def data_received(self, data: bytes) -> None:
        """Take the worker's answers."""
        try:
            for frame in self._decoder.feed(data):
                self._take(frame)
        except ProtocolError as error:  # user code wrote to the socket, or memory is corrupt: start over
            log.error("worker %s sent what cannot be read (%s); it is replaced", self.pid, error)
            self.kill()

    def connection_lost(self, exc: Exception | None) -> None:
        """The worker is gone, or has closed the socket and cannot be reached any more."""
        if self._started is not None and not self._started.done():
            self._started.set_result(
                Frame(Kind.FAILED, 0, {"error": f"the process ended with {_exit_text(self._exit_code())}"})
            )
        self._on_end(self)

    def _spawn(self) -> socket.socket:
        """Start the process; returns our end of the socket. Raises OSError."""
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "fnpack_host.worker", str(theirs.fileno())],
                    pass_fds=[theirs.fileno()],
                    env=self._child_environ(),
                    # Not in the app: `-m` puts this folder first on sys.path, and an app may have a folder `json`.
                    cwd=_package_folder(),
                    stdin=subprocess.DEVNULL,
                    stdout=self._output,
                )
            except OSError:
                ours.close()
                raise
        return ours

    async def _load(self, connection: socket.socket) -> Frame:
        """Have the worker load user code; returns the STARTED or FAILED frame."""
        loop = asyncio.get_running_loop()
        self._started = loop.create_future()
        await loop.create_connection(lambda: self, sock=connection)
        self._write(encode(Kind.START, 0, self._start_facts))
        return await self._started

    def _exit_code(self) -> int | None:
        if self._process is None:
            return None
        try:
            return self._process.wait(_EXIT_S)
        except subprocess.TimeoutExpired:  # user code has closed the socket
            return self._end_now()

    def _end_now(self) -> int | None:
        self.kill()
        return self._process.wait() if self._process is not None else None

    def _take(self, frame: Frame) -> None:
        if frame.id == 0:
            if self._started is not None and not self._started.done():
                self._started.set_result(frame)
            return
        call = self.calls.pop(frame.id, None)
        if call is None:
            return
        now = time.monotonic()
        if not self.overlapping and self.calls:
            next(iter(self.calls.values())).started = now
        if not call.answer.done():
            if frame.kind is Kind.RESULT:
                call.answer.set_result(frame)
            else:
                call.answer.set_exception(InvocationError(str(frame.facts.get("error"))))
        self.on_answer(now - call.started)

    def _write(self, pieces: list[bytes]) -> None:
        """Send with what else this turn of the loop has to send: one system call for many frames."""
        if not self._outbox:
            asyncio.get_running_loop().call_soon(self._flush)
        self._outbox += pieces

    def _flush(self) -> None:
        pieces, self._outbox = self._outbox, []
        if self._transport is not None and pieces:
            self._transport.writelines(pieces)

    def _child_environ(self) -> dict[str, str]:
        """The worker finds fnpack_host wherever the host found it, and then puts those folders last."""
        folders = [_package_folder()]
        inherited = [folder for folder in os.environ.get("PYTHONPATH", "").split(os.pathsep) if folder]
        path = os.pathsep.join([*folders, *(folder for folder in inherited if folder not in folders)])
        return {**self._environ, "PYTHONPATH": path, "FNPACK_HOST_PATH": path, "PYTHONUNBUFFERED": "1"}


def _package_folder() -> str:
    return str(Path(fnpack_host.__file__).parent.parent)


def _start_error(app_root: Path, frame: Frame) -> WorkerStartError:
    text = str(frame.facts.get("traceback") or frame.facts.get("error"))
    return WorkerStartError(
        app_root,
        text,
        hint="mend the script: an entry script is imported and its init() runs before any call, "
        "a function_app.py is imported",
    )


def _exit_text(code: int | None) -> str:
    if code is not None and code < 0:
        return f"signal {-code}" + (" (out of memory?)" if code == -9 else "")
    return f"exit code {code}"
