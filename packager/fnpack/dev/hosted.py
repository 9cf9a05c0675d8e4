"""Entry of the host that `fnpack dev` runs: `python -m fnpack.dev.hosted`. It says each call in one line.

The first line on its standard input says which app to run; until that comes it imports what it will need. It ends when
its standard input closes: the `fnpack dev` that started it is gone then, however it went.
"""

from __future__ import annotations

import sys

if __name__ == "__main__" and not getattr(sys.flags, "safe_path", False):
    del sys.path[0]  # `python -m` puts the current folder first: a json.py of the app must not become ours

import argparse
import contextlib
import importlib
import json
import logging
import os
import signal
import threading
import time
from datetime import datetime
from pathlib import Path

from fnpack_host.app.function_app import FunctionApp
from fnpack_host.host import Host, HostOptions
from fnpack_host.logs import INVOCATIONS
from fnpack_host.run import exit_with, run_app
from fnpack_triggers.errors import FnpackError

# The slow imports, by kind of service.
WARM = {
    "storage": ("fnpack_triggers.blob.factory", "fnpack_triggers.queue.factory"),
    "bus": ("fnpack_triggers.service_bus.listener", "fnpack_triggers.service_bus.output"),
}
ORPHAN_GRACE_S = 5.0
INTERRUPTED = 130
# What a person calls a trigger, by its type in function.json.
TRIGGERS = {
    "httptrigger": "http",
    "blobtrigger": "blob",
    "queuetrigger": "storage queue",
    "servicebustrigger": "service bus",
    "timertrigger": "timer",
}
_COLOURS = {"ok": "32", "failed": "31"}


class CallFormatter(logging.Formatter):
    """`12:30:01 score-blob (blob): input/a.json -> output/a_out.json, 8.3 ms, ok`; other lines as they are."""

    def __init__(self, *, coloured: bool = False) -> None:
        super().__init__()
        self._coloured = coloured
        self._triggers: dict[str, str] = {}  # by function
        self._paths: dict[str, str] = {}  # of HTTP functions

    def learn(self, app: FunctionApp) -> None:
        """Which functions there are: a line tells a call's trigger, and the path of an HTTP function."""
        prefix = app.host_json.text("extensions.http.routePrefix", "api").strip("/")
        for function in app.functions:
            trigger = next((one for one in function.bindings if one.is_trigger), None)
            if trigger is not None:
                self._triggers[function.name] = TRIGGERS.get(trigger.type, trigger.type)
            if trigger is not None and trigger.type == "httptrigger":
                parts = (prefix, (trigger.text("route") or function.name).strip("/"))
                self._paths[function.name] = "/" + "/".join(part for part in parts if part)

    def format(self, record: logging.LogRecord) -> str:
        """Format one record."""
        at = datetime.fromtimestamp(record.created).strftime("%H:%M:%S")
        if record.name == INVOCATIONS and isinstance(record.args, tuple) and len(record.args) in (4, 5):
            return f"{at} {self._call(*record.args)}"
        level = "" if record.levelno < logging.WARNING else f"{record.levelname}: "
        return f"{at} {level}{super().format(record)}"

    def _call(
        self, name: object, invocation: object, what: object, took_ms: object, failure: object = None
    ) -> str:
        """A call that has ended, from the arguments of its record."""
        function, text = str(name), str(what)
        if function in self._paths:  # `POST request -> 200` says less than the path does
            text = text.replace("request", self._paths[function], 1)
        trigger = f" ({self._triggers[function]})" if function in self._triggers else ""
        outcome = self._painted("ok") if failure is None else f"{self._painted('failed')}: {failure}"
        return f"{function}{trigger}: {text}, {took_ms:.1f} ms, {outcome}"

    def _painted(self, word: str) -> str:
        return f"\x1b[{_COLOURS[word]}m{word}\x1b[0m" if self._coloured else word


def main() -> int:
    """Run the app that is named on standard input; returns the exit code (3: it could not start)."""
    parser = argparse.ArgumentParser(
        prog="python -m fnpack.dev.hosted", description="The host of `fnpack dev`."
    )
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--warm", choices=list(WARM), action="append", default=[])
    parser.add_argument("--verbose", action="store_true")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    for kind in arguments.warm:
        for module in WARM[kind]:
            with contextlib.suppress(ImportError):  # the host says which library a function lacks
                importlib.import_module(module)
    line = _first_line()
    if not line:
        return 0  # the app cannot be run
    task = json.loads(line)
    os.environ.clear()
    os.environ.update(task["environment"])
    threading.Thread(target=_end_with_parent, name="fnpack-dev-leash", daemon=True).start()
    return _run(
        Path(task["app"]), arguments.port, task["since"], verbose=arguments.verbose, as_json=arguments.json
    )


def _run(app: Path, port: int, since: float, *, verbose: bool, as_json: bool) -> int:
    coloured = sys.stderr.isatty() and not os.environ.get("NO_COLOR")
    calls = CallFormatter(coloured=coloured)

    def ready(host: Host) -> None:
        calls.learn(host.app)
        took_s = time.time() - since
        logging.getLogger("fnpack.host").info("ready on %s in %.1f s", host.base_url, took_s)

    try:
        return run_app(
            app,
            HostOptions(port=port, log_as_json=as_json),
            verbose=verbose,
            formatter=None if as_json else calls,
            on_ready=ready,
        )
    except FnpackError as error:
        if not as_json:
            return exit_with(error)
        facts = {"code": error.code, "message": str(error), "hint": error.hint}
        print(json.dumps({"level": "ERROR", "error": facts}), file=sys.stderr)
        return error.exit_code


def _first_line() -> bytes:
    """What comes before the first line's end; nothing if the input closes before that. No byte more is read."""
    line = bytearray()
    while (byte := os.read(sys.stdin.fileno(), 1)) not in (b"", b"\n"):
        line += byte
    return bytes(line) if byte else b""


def _end_with_parent() -> None:
    while os.read(sys.stdin.fileno(), 4096):  # not through a buffer, whose lock would be held at the end
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(ORPHAN_GRACE_S)
    os._exit(INTERRUPTED)


if __name__ == "__main__":
    sys.exit(main())
