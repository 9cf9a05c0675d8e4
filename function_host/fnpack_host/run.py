"""Runs a host in the foreground until a signal: what `python -m fnpack_host`, `fnpack run` and `host start` share."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path

from fnpack_host import logs
from fnpack_host.app.function_app import Function, FunctionApp
from fnpack_host.errors import HostStartError
from fnpack_host.host import Host, HostOptions
from fnpack_host.settings import Settings
from fnpack_triggers.errors import FnpackError

log = logging.getLogger("fnpack.host")
INTERRUPTED = 130


def run_app(
    root: Path,
    options: HostOptions,
    *,
    verbose: bool = False,
    formatter: logging.Formatter | None = None,
    on_ready: Callable[[Host], None] | None = None,
) -> int:
    """Run the app below `root` until SIGTERM or Ctrl-C; returns the process's exit code.

    A first signal drains, a second one ends at once. `formatter` writes log lines in place of the usual ones,
    `on_ready` says that the host is up in place of the lines that do. Raises FnpackError when the app cannot start;
    its exit code is then that of HostStartError, whatever kept the host from starting.
    """
    logs.configure(as_json=options.log_as_json, verbose=verbose, formatter=formatter)
    try:
        app = FunctionApp.load(root.resolve(), Settings.load(root))
        logs.levels_of(app.host_json, verbose=verbose).apply()
        return _run_loop(_run(Host(app, options), on_ready or _log_ready))
    except FnpackError as error:
        error.exit_code = HostStartError.exit_code
        raise


def describe(function: Function, base_url: str, prefix: str) -> str:
    """One line on a function: its name, its trigger, and where it listens."""
    if function.error:
        return f"{function.name}: cannot run: {function.error}"
    trigger = function.trigger
    if trigger.type == "httptrigger":
        methods = trigger.properties.get("methods")
        names = ",".join(str(m).upper() for m in methods) if isinstance(methods, list) else "ANY"
        path = "/".join(part for part in (prefix, trigger.text("route") or function.name) if part)
        more = f", /score; its API is shown at {base_url}/docs" if function.is_scoring else ""
        return f"{function.name}: [{names}] {base_url}/{path}{more}"
    source = trigger.text("path") or trigger.text("queueName") or trigger.text("topicName")
    target = next(
        (b.text("path") or b.text("queueName") or b.text("topicName") for b in function.outputs), ""
    )
    return f"{function.name}: {trigger.type.removesuffix('trigger')} {source}" + (
        f" -> {target}" if target else ""
    )


def _run_loop(work: Coroutine[None, None, int]) -> int:
    """Run on uvloop, which doubles what the front can carry; on asyncio's own loop where uvloop is not installed."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(work)
    return uvloop.run(work)


async def _run(host: Host, on_ready: Callable[[Host], None]) -> int:
    stopping = asyncio.Event()
    signals: list[int] = []
    loop = asyncio.get_running_loop()

    def on_signal(number: int) -> None:
        signals.append(number)
        if len(signals) > 1:
            logging.shutdown()  # lines of this turn of the loop
            os._exit(INTERRUPTED)
        log.info("%s: draining; a second signal ends at once", signal.Signals(number).name)
        stopping.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, on_signal, number)
    await _start_and_serve(host, stopping, on_ready)
    return INTERRUPTED if signals and signals[0] == signal.SIGINT else 0


async def _start_and_serve(host: Host, stopping: asyncio.Event, on_ready: Callable[[Host], None]) -> None:
    start = asyncio.ensure_future(host.start())
    stopped = asyncio.ensure_future(stopping.wait())
    await asyncio.wait({start, stopped}, return_when=asyncio.FIRST_COMPLETED)
    if not start.done():  # a signal while user code still loads
        start.cancel()
        await asyncio.wait({start})
        return
    stopped.cancel()
    start.result()
    on_ready(host)
    try:
        await stopping.wait()
    finally:
        await host.stop()
        log.info("stopped")


def _log_ready(host: Host) -> None:
    prefix = host.app.host_json.text("extensions.http.routePrefix", "api")
    for function in host.app.functions:
        log.info("%s", describe(function, host.base_url, prefix))
    log.info("host %s is ready on %s", host.app.host_id, host.base_url)


def exit_with(error: FnpackError) -> int:
    """Print an error and its hint to stderr; returns its exit code."""
    print(f"Error {error.code}: {error}", file=sys.stderr)
    if error.hint:
        print(f"Hint: {error.hint}", file=sys.stderr)
    return error.exit_code
