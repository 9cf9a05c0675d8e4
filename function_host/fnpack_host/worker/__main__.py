"""Entry of the worker process: `python -m fnpack_host.worker FD`, where FD is its end of the socket to the host."""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import os
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path

from fnpack_host.worker.output import capture
from fnpack_host.worker.protocol import Decoder, Frame, Kind, encode
from fnpack_host.worker.scoring import ScoringRunner, describe

FLUSH_AFTER_S = 0.0005  # answers of calls quicker than this travel together


class Worker(asyncio.Protocol):
    """The worker's side of the socket: loads the app on START, runs each INVOKE, ends on STOP or a closed socket."""

    def __init__(self, done: Callable[[], None]) -> None:
        self._done = done
        self._decoder = Decoder()
        self._tasks: set[asyncio.Task[None]] = set()
        self._sequential: ScoringRunner | None = None
        self._run: Callable[[Frame], Awaitable[list[bytes]]] | None = None
        self._submit: Callable[[Frame, Callable[[list[bytes]], None]], bool] | None = None
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._outbox: list[list[bytes]] = []  # answers that leave with the loop's next turn
        self._in_threads = 0
        self._stopping = False
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way to answer."""
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """The host is gone, so is the reason to live."""
        self._done()

    def data_received(self, data: bytes) -> None:
        """Run what arrived; quick synchronous answers go out together, slow ones at once."""
        answers: list[bytes] = []
        since = time.perf_counter()
        for frame in self._decoder.feed(data):
            answers += self._handle(frame)
            if answers and time.perf_counter() - since > FLUSH_AFTER_S:
                self._send(answers)
                answers, since = [], time.perf_counter()
        if answers:
            self._send(answers)

    def _handle(self, frame: Frame) -> list[bytes]:
        match frame.kind:
            case Kind.START:
                return self._start(frame)
            case Kind.INVOKE if self._sequential is not None:
                return self._sequential.run(frame)
            case Kind.INVOKE if self._submit is not None and self._submit(frame, self._answer_from_thread):
                with self._lock:
                    self._in_threads += 1  # may be below zero for a moment, if the thread was quicker
            case Kind.INVOKE if self._run is not None:
                task = asyncio.ensure_future(self._overlapping(self._run(frame)))
                self._tasks.add(task)
                task.add_done_callback(self._finished)
            case Kind.STOP:
                self._stopping = True
                self._end_if_idle()
        return []

    def _start(self, frame: Frame) -> list[bytes]:
        app_root = Path(str(frame.facts["app_root"]))
        os.chdir(app_root)
        use_app_first(app_root)
        try:
            if frame.facts.get("functions") or frame.facts.get("script"):
                facts = self._load_app(app_root, frame)
            else:
                facts = self._load_scoring()
        except (Exception, SystemExit) as error:
            text = "".join(traceback.format_exception(error)).rstrip()
            return encode(Kind.FAILED, frame.id, {"error": describe(error), "traceback": text})
        return encode(Kind.STARTED, frame.id, facts)

    def _load_scoring(self) -> dict[str, object]:
        runner = ScoringRunner.load()
        self._sequential, self._run = None if runner.is_async else runner, runner.run_async
        return {"overlapping": runner.is_async, "scoring": runner.facts}

    def _load_app(self, app_root: Path, frame: Frame) -> dict[str, object]:
        from fnpack_host.worker.app import App  # what scoring functions alone do not need is not imported

        app = App(app_root)
        facts = app.load(frame.facts)
        self._sequential, self._submit, self._run = app.sequential, app.submit, app.run
        return facts

    async def _overlapping(self, answer: Awaitable[list[bytes]]) -> None:
        pieces = await answer
        if self._post(pieces):
            self._loop.call_soon(self._empty_outbox)

    def _answer_from_thread(self, pieces: list[bytes]) -> None:
        if self._post(pieces, from_thread=True):
            with contextlib.suppress(RuntimeError):  # the loop is closed: the host is gone
                self._loop.call_soon_threadsafe(self._empty_outbox)

    def _post(self, pieces: list[bytes], *, from_thread: bool = False) -> bool:
        """Put an answer into the outbox; says whether it was empty, so that somebody has to empty it."""
        with self._lock:
            self._outbox.append(pieces)
            self._in_threads -= from_thread
            return len(self._outbox) == 1

    def _empty_outbox(self) -> None:
        with self._lock:
            answers, self._outbox = self._outbox, []
        self._send([piece for pieces in answers for piece in pieces])
        self._end_if_idle()

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._end_if_idle()

    def _end_if_idle(self) -> None:
        is_idle = not self._tasks and not self._in_threads and not self._outbox
        if self._stopping and is_idle and self._transport is not None:
            self._transport.close()

    def _send(self, pieces: list[bytes]) -> None:
        if self._transport is not None:
            self._transport.writelines(pieces)


def use_app_first(app_root: Path) -> None:
    """Put the app's folders first on sys.path and what belongs to the host last, so that the app's packages win."""
    own = {
        str(Path(folder).resolve())
        for folder in os.environ.pop("FNPACK_HOST_PATH", "").split(os.pathsep)
        if folder
    }
    host_folders = [folder for folder in sys.path if folder and str(Path(folder).resolve()) in own]
    app_folders = [str(app_root), str(app_root / ".python_packages" / "lib" / "site-packages")]
    others = [folder for folder in sys.path if folder not in host_folders and folder not in app_folders]
    sys.path[:] = [*app_folders, *(folder for folder in others if folder), *host_folders]
    use_packages(Path(app_folders[1]))


def use_packages(site_packages: Path) -> None:
    """Find the packages' commands, and follow their `.pth` files, which Python does in its own folders alone."""
    commands = site_packages / "bin"
    if commands.is_dir():
        os.environ["PATH"] = f"{commands}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    if any(site_packages.glob("*.pth")):
        import site

        site.addsitedir(str(site_packages))


async def serve(connection: socket.socket) -> None:
    """Serve the host until it closes the socket or says stop."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    await loop.create_connection(lambda: Worker(ended.set), sock=connection)
    await ended.wait()


def die_with_host() -> None:
    """Ask Linux to kill this process when the host dies, so that user code that hangs never outlives it."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG


def main() -> None:
    """Run the worker. SIGINT and SIGTERM are the host's business: a terminal sends them to the whole group."""
    faulthandler.enable()
    die_with_host()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    connection = socket.socket(fileno=int(sys.argv[1]))
    sys.argv[:] = [sys.argv[0]]
    capture(
        as_json=os.environ.get("FNPACK_LOG_FORMAT") == "json",
        level=os.environ.get("FNPACK_WORKER_LOG_LEVEL", "INFO"),
    )
    asyncio.run(serve(connection))


if __name__ == "__main__":
    main()
