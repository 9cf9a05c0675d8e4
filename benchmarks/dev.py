"""From the start of `fnpack dev` to "ready", and from an edit to "ready" again, beside what the start consists of."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from measure import Table, fnpack, seconds, timed

from fnpack.dev.azurite_install import pinned_version
from fnpack.devbus import DevBusThread
from services import Azurite
from setup import AZURITE, TOOLS

RUNS = 5
SCRIPT = "def init(): pass\ndef run(data): return []\n"
PROJECT = """\
trigger = ["http"{more}]
auth_level = "anonymous"
"""
SERVICES = """\
input_queue = "rows"
output_queue = "predictions"
"""
DECORATED = """\
import azure.functions as func

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@app.route(route="score")
def score(req: func.HttpRequest) -> str:
    return "[]"


@app.blob_trigger(arg_name="b", path="input/{name}", connection="Store")
@app.blob_output(arg_name="$return", path="output/{name}", connection="Store")
def blob(b: func.InputStream) -> bytes:
    return b.read()


@app.service_bus_queue_trigger(arg_name="m", queue_name="rows", connection="Bus")
@app.service_bus_queue_output(arg_name="$return", queue_name="predictions", connection="Bus")
def message(m: func.ServiceBusMessage) -> bytes:
    return m.get_body()
"""
READY = re.compile(rb" ready on ")


def run(work: Path) -> Table:
    """Measure; `work` is an empty folder."""
    table = Table(
        f'`fnpack dev`, from the start of the process to "ready" ({RUNS} runs after one that does not count)',
        ("what", "median (min to max)"),
    )
    cache = work / "cache" / "fnpack" / "azurite"
    cache.mkdir(parents=True)
    (cache / pinned_version()).symlink_to(AZURITE)
    http, all_three, decorated = projects(work)

    def azurite() -> None:
        with Azurite():
            pass

    def bus() -> None:
        with DevBusThread():
            pass

    table.rows.append(("floor: start of Azurite alone, and its stop", seconds(timed(azurite, RUNS))))
    table.rows.append(("floor: start of the Service Bus alone, and its stop", seconds(timed(bus, RUNS))))
    table.rows.append(("floor: `fnpack run`, services running", seconds(plain_starts(work, all_three))))
    cases = {
        "`fnpack dev`, project with HTTP, no service needed": (http, False),
        "`fnpack dev`, project with HTTP, blob and Service Bus": (all_three, True),
        "`fnpack dev`, function_app.py with the same three": (decorated, True),
    }
    for name, (folder, is_edited) in cases.items():
        starts, edits, stops = [], [], []
        for number in range(RUNS + 1):
            since = time.perf_counter()
            with developing(work, folder) as log:
                wait(log, 1)
                starts.append(time.perf_counter() - since)
                if is_edited:
                    script = next(folder.glob("*.py"))
                    since = time.perf_counter()
                    script.write_text(f"{script.read_text()}# {number}\n")
                    wait(log, 2)
                    edits.append(time.perf_counter() - since)
                since = time.perf_counter()
            stops.append(time.perf_counter() - since)
        table.rows.append((name, seconds(starts[1:])))
        if edits:
            table.rows.append(("... from an edit to ready again", seconds(edits[1:])))
        table.rows.append(("... from Ctrl-C to its end", seconds(stops[1:])))
    table.notes.append(
        "Azurite is in the cache; data are kept on disk, as by default. The script imports nothing."
    )
    return table


def projects(work: Path) -> tuple[Path, Path, Path]:
    """A project with HTTP, one with all three triggers, and an app with the same three."""
    http, all_three, decorated = (work / name for name in ("http", "three", "decorated"))
    for folder, more in ((http, ""), (all_three, ', "blob", "service_bus_queue"')):
        folder.mkdir()
        (folder / "score.py").write_text(SCRIPT)
        (folder / "fnpack.toml").write_text(PROJECT.format(more=more) + (SERVICES if more else ""))
    decorated.mkdir()
    (decorated / "host.json").write_text('{"version": "2.0"}')
    (decorated / "function_app.py").write_text(DECORATED)
    return http, all_three, decorated


def plain_starts(work: Path, project: Path) -> list[float]:
    """Seconds from the start of `fnpack run` to its "ready", with services that run already."""
    fnpack("build", "--app-only", str(work / "app"), cwd=project)
    with Azurite() as azurite, DevBusThread() as bus:
        for name in ("rows", "predictions"):
            bus.ensure_queue(name)
        settings = {
            "TriggerConnectionString": azurite.connection_string,
            "ServiceBusConnection": bus.connection_string,
        }
        found = []
        for _ in range(RUNS + 1):
            since = time.perf_counter()
            with started(["run", str(work / "app"), "--port", "0"], work, {**os.environ, **settings}) as log:
                wait(log, 1)
                found.append(time.perf_counter() - since)
    return found[1:]


@contextmanager
def developing(work: Path, folder: Path) -> Iterator[Path]:
    """A `fnpack dev` in a folder, on any free ports; gives the file with its log."""
    environment = {
        **os.environ,
        "XDG_CACHE_HOME": str(work / "cache"),
        "PATH": f"{TOOLS}{os.pathsep}{os.environ['PATH']}",
    }
    ports = ["--port", "0", "--storage-port", "0", "--servicebus-port", "0"]
    with started(["dev", *ports], folder, environment) as log:
        yield log


@contextmanager
def started(words: list[str], folder: Path, environment: dict[str, str]) -> Iterator[Path]:
    """A command of fnpack, ended by Ctrl-C; gives the file with its log."""
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "fnpack", *words],
            cwd=folder,
            env=environment,
            stdout=output,
            stderr=output,
        )
    try:
        yield log
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)


def wait(log: Path, count: int) -> None:
    """Wait until it has said so many times that it is ready."""
    deadline = time.monotonic() + 60
    while len(READY.findall(log.read_bytes())) < count:
        if time.monotonic() > deadline:
            raise SystemExit(f"not ready in 60 s:\n{log.read_text()}")
        time.sleep(0.01)
