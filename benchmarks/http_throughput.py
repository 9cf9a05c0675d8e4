"""HTTP throughput of a function that does almost nothing: fnpack, its floor and its peers in one run, with wrk."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from measure import Table, fnpack, process
from peer_environments import PEERS, environment

CONNECTIONS = (1, 16, 64)
SECONDS = 4
SUM_BODY = '{"data":[1,2,3,4,5,6,7,8,9,10]}'
DOT_BODY = '{"data":[[1,2,3,4,5,6,7,8,9,10]]}'
QUIET = {
    "AzureFunctionsJobHost__logging__logLevel__default": "Warning"
}  # peers write none either, but azmlinfsrv


@dataclass(frozen=True)
class Server:
    """One contender: its command, where it answers, and its environment."""

    name: str
    command: Sequence[str]
    path: str
    environment: dict[str, str]


@dataclass(frozen=True)
class Cell:
    """One wrk run."""

    per_second: float
    p50_ms: float
    p99_ms: float
    failures: int


@dataclass(frozen=True)
class Row:
    """One server's figures: its cells, the CPU seconds of its last cell, its memory, its start."""

    cells: list[Cell]
    cpu_s: float
    pss_mb: float
    first_s: float


def run(work: Path) -> list[Table]:
    """Measure; `work` is an empty folder."""
    if shutil.which("wrk") is None:
        raise SystemExit("the HTTP benchmark needs wrk (Debian: apt-get install wrk)")
    title = f"HTTP, one worker, {{}} (wrk, {SECONDS} s a cell after 2 s of warm-up)"
    return [
        compare(title.format("sum of ten numbers"), [*own(work), *peers()], SUM_BODY, work),
        compare(title.format("product of two vectors with numpy"), dot(work), DOT_BODY, work),
    ]


def compare(title: str, servers: Sequence[Server], body: str, work: Path) -> Table:
    """A row for each server; the first is the floor."""
    columns = (
        "server",
        *(f"{n} conn: req/s, p50/p99 ms" for n in CONNECTIONS),
        "req/CPU-s",
        "PSS MB",
        "first 200, s",
        "to the floor at 64",
    )
    table = Table(title, columns)
    script = work / "post.lua"
    script.write_text(
        f"wrk.method='POST'\nwrk.headers['Content-Type']='application/json'\nwrk.body=[==[{body}]==]\n"
    )
    floor = 0.0
    for server in servers:
        row = measure(server, script, body, work)
        last = row.cells[-1].per_second
        floor = floor or last
        shown = [
            f"{c.per_second:,.0f}, {c.p50_ms:.2f}/{c.p99_ms:.1f}"
            + (f", {c.failures} failed" if c.failures else "")
            for c in row.cells
        ]
        per_cpu = f"{last * SECONDS / row.cpu_s:,.0f}" if row.cpu_s else ""
        ratio = f"{last / floor:.2f}"
        table.rows.append((server.name, *shown, per_cpu, f"{row.pss_mb:.0f}", f"{row.first_s:.2f}", ratio))
    return table


def own(work: Path) -> list[Server]:
    """The floor and fnpack."""
    script = scoring_app(work, "score_sum.py")
    function = work / "function"
    shutil.copytree(PEERS / "function_app", function)
    return [
        Server(
            "floor: uvicorn, raw ASGI, scoring in its own process",
            [sys.executable, str(PEERS / "asgi_raw.py"), "sum", "{port}"],
            "/score",
            {},
        ),
        hosted("fnpack run, no line per request", script),
        hosted("fnpack run, as it comes", script, {}),
        hosted("fnpack run, SDK v1's route", script, path="/score"),
        hosted("fnpack run, two workers", script, {**QUIET, "FUNCTIONS_WORKER_PROCESS_COUNT": "2"}),
        hosted("fnpack run, function of azure.functions", function),
        hosted("fnpack run, the same as `async def`", function, path="/api/score_async"),
        hosted("fnpack run, a function that takes 10 ms", scoring_app(work, "score_10ms.py")),
    ]


def dot(work: Path) -> list[Server]:
    """The floor, fnpack and the peer whose scripts it runs."""
    script = str(PEERS / "score_dot.py")
    return [
        Server("floor: uvicorn, raw ASGI", [sys.executable, str(PEERS / "asgi_raw.py"), "dot", "{port}"], "/", {}),
        hosted("fnpack run, no line per request", scoring_app(work, "score_dot.py")),
        azmlinfsrv(script),
    ]  # fmt: skip


def scoring_app(work: Path, script: str) -> Path:
    """An app directory for an entry script."""
    app = work / script.partition(".")[0]
    fnpack("build", "--entry-script", str(PEERS / script), "--trigger", "http", "--auth-level", "anonymous",
           "--app-only", str(app), cwd=work)  # fmt: skip
    return app


def hosted(name: str, app: Path, settings: dict[str, str] = QUIET, path: str = "/api/score") -> Server:
    """fnpack's host on an app."""
    return Server(
        name, [sys.executable, "-m", "fnpack", "run", str(app), "--port", "{port}"], path, dict(settings)
    )


def azmlinfsrv(script: str) -> Server:
    """SDK v1's own server."""
    python = f"{environment('azureml-inference-server-http')}/python"
    command = [python, "-m", "azureml_inference_server_http", "--entry_script", script, "--port", "{port}"]
    return Server("azmlinfsrv", [*command, "--worker_count", "1"], "/score", {})


def peers() -> list[Server]:
    """The peers, each in a virtual environment of its own below .tools/peers."""
    framework, bento, lit = (environment(name) for name in ("functions-framework", "bentoml", "litserve"))
    bento_path = f"{bento}:{os.environ['PATH']}"
    return [
        azmlinfsrv(str(PEERS / "score_sum.py")),
        Server("functions-framework", [f"{framework}/functions-framework",
                                       "--source", str(PEERS / "functions_framework_sum.py"),
                                       "--target", "score", "--host", "127.0.0.1", "--port", "{port}"], "/", {}),
        Server("BentoML", [f"{bento}/bentoml", "serve", "bentoml_sum:Sum", "--host", "127.0.0.1", "--port", "{port}"],
               "/score", {"BENTOML_DO_NOT_TRACK": "True", "PYTHONPATH": str(PEERS), "PATH": bento_path}),
        Server("LitServe", [f"{lit}/python", str(PEERS / "litserve_sum.py"), "{port}"], "/score", {}),
    ]  # fmt: skip


def measure(server: Server, script: Path, body: str, work: Path) -> Row:
    """Start a server, and have wrk ask it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}{server.path}"
    log = work / "server.log"
    command = [part.replace("{port}", str(port)) for part in server.command]
    with process(command, log, server.environment, work) as child:
        first_s = wait(url, body, log)
        wrk(url, script, 16, 2)
        cells = []
        for connections in CONNECTIONS:
            time.sleep(1)  # what the last clients had asked for when they left is answered first
            tree = family(child.pid)
            before = cpu_seconds(tree)
            cells.append(wrk(url, script, connections, SECONDS))
        return Row(cells, cpu_seconds(tree) - before, sum(map(pss_mb, tree)), first_s)


def wait(url: str, body: str, log: Path) -> float:
    """Wait for the first 200; returns the seconds."""
    since = time.monotonic()
    request = urllib.request.Request(url, body.encode(), {"Content-Type": "application/json"})
    while time.monotonic() < since + 60:
        try:
            with urllib.request.urlopen(request, timeout=5):
                return time.monotonic() - since
        except OSError:  # noqa: PERF203 - it waits anyway
            time.sleep(0.01)
    raise SystemExit(f"{url} does not answer:\n{log.read_text()[-2000:]}")


def wrk(url: str, script: Path, connections: int, duration_s: int) -> Cell:
    """One run of wrk; only 2xx answers count."""
    command = [
        "wrk",
        "-t1",
        f"-c{connections}",
        f"-d{duration_s}s",
        "--timeout",
        "10s",
        "--latency",
        "-s",
        str(script),
        url,
    ]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    total = float(re.search(r"(\d+) requests in", text)[1])  # type: ignore[index]
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    failures = int(bad[1]) if bad else 0
    return Cell(
        (total - failures) / duration_s, milliseconds(text, "50%"), milliseconds(text, "99%"), failures
    )


def milliseconds(text: str, name: str) -> float:
    """A percentile of wrk's output in ms."""
    found = re.search(rf"{name}\s+([\d.]+)(us|ms|s)", text)
    assert found is not None
    return float(found[1]) * {"us": 0.001, "ms": 1, "s": 1000}[found[2]]


def family(pid: int) -> list[int]:
    """A process and all its descendants."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(one for child in children for one in family(int(child)))]


def cpu_seconds(tree: Sequence[int]) -> float:
    """CPU time of the processes so far."""
    ticks = 0
    for pid in tree:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def pss_mb(pid: int) -> float:
    """Proportional share of memory, MB."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.search(r"^Pss:\s+(\d+)", text, re.MULTILINE)[1]) / 1024  # type: ignore[index]
