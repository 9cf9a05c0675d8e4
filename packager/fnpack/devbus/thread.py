"""Runs the development Service Bus in a thread of its own, for tests and for programs without an event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from fnpack.devbus.entities.settings import QueueSettings, TopicSettings
from fnpack.devbus.server import DevBus
from fnpack.devbus.wire.broker import Limits

T = TypeVar("T")
_TIMEOUT_S = 10.0


class DevBusThread:
    """A running development Service Bus; a context manager. Its methods may be called from any thread."""

    def __init__(self, *, port: int = 0, store: Path | None = None, limits: Limits | None = None) -> None:
        self._wanted_port = port
        self._store, self._limits = store, limits
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._bus: DevBus | None = None
        self._fault: BaseException | None = None
        self.connection_string = ""
        self.port = 0

    def start(self) -> str:
        """Start; gives the connection string. Raises OSError if the port is taken."""
        ready = threading.Event()
        self._fault = None
        self._thread = threading.Thread(target=self._run, args=(ready,), name="fnpack-devbus", daemon=True)
        self._thread.start()
        if not ready.wait(_TIMEOUT_S):
            raise TimeoutError("the development Service Bus did not start")
        if self._fault is not None:
            raise self._fault
        return self.connection_string

    def stop(self) -> None:
        """Stop and wait for the thread; may be called twice."""
        thread, loop = self._thread, self._loop
        if thread is None or loop is None:
            return
        loop.call_soon_threadsafe(self._stopping.set)
        thread.join(_TIMEOUT_S)
        self._thread = self._loop = None

    def __enter__(self) -> DevBusThread:
        """Start."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop."""
        self.stop()

    def call(self, work: Callable[[DevBus], T]) -> T:
        """Run `work` with the bus in its event loop, and give what it gives."""
        bus, loop = self._bus, self._loop
        if bus is None or loop is None:
            raise RuntimeError("the development Service Bus is not running")

        async def run() -> T:
            return work(bus)

        return asyncio.run_coroutine_threadsafe(run(), loop).result(_TIMEOUT_S)

    def ensure_queue(self, name: str, settings: QueueSettings | None = None) -> str:
        """Make a queue if need be: its name. Raises BusError."""
        return self.call(lambda bus: bus.ensure_queue(name, settings).name)

    def ensure_topic(self, name: str, settings: TopicSettings | None = None) -> str:
        """Make a topic if need be: its name. Raises BusError."""
        return self.call(lambda bus: bus.ensure_topic(name, settings).name)

    def ensure_subscription(self, topic: str, name: str, settings: QueueSettings | None = None) -> str:
        """Make a subscription (and its topic) if need be: its full name. Raises BusError."""
        return self.call(lambda bus: bus.ensure_subscription(topic, name, settings).name)

    def _run(self, ready: threading.Event) -> None:
        asyncio.run(self._serve(ready))

    async def _serve(self, ready: threading.Event) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        bus = DevBus(store=self._store, limits=self._limits)
        try:
            self.connection_string = await bus.start(self._wanted_port)
            self.port, self._bus = bus.port, bus
        except BaseException as exc:
            self._fault = exc
            return
        finally:
            ready.set()
        await self._stopping.wait()
        self._bus = None
        await bus.stop()
