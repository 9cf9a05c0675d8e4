"""From the start of the process to the first HTTP 200, beside a bare ASGI server and beside loading the model alone."""

from __future__ import annotations

import http.client
import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from measure import EXAMPLE, MODEL, Table, fnpack, process, seconds, timed

RUNS = 7
RAW_ASGI = """
import sys, uvicorn
async def app(scope, receive, send):
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"[]"})
uvicorn.run(app, port=int(sys.argv[1]), lifespan="off", access_log=False, log_level="warning")
"""


def run(work: Path) -> Table:
    """Measure; `work` is an empty folder."""
    table = Table(
        f"Start of the process to the first HTTP 200 ({RUNS} runs)",
        ("what", "median (min to max)", "to the floor"),
    )
    trivial, example = make_trivial(work), make_example(work)
    (work / "raw.py").write_text(RAW_ASGI)
    body = (EXAMPLE / "sample_input.json").read_bytes()
    cases = {
        "floor: uvicorn, raw ASGI, no worker": ([sys.executable, str(work / "raw.py"), "{port}"], b"{}"),
        "fnpack run, script that imports nothing": (
            [sys.executable, "-m", "fnpack", "run", str(trivial), "--port", "{port}"],
            b"{}",
        ),
        "fnpack run, example model": (
            [sys.executable, "-m", "fnpack", "run", str(example), "--port", "{port}"],
            body,
        ),
    }
    floor = 0.0
    for name, (command, given) in cases.items():
        times = [first_answer(command, given, work / "log") for _ in range(RUNS)]
        floor = floor or sorted(times)[len(times) // 2]
        table.rows.append((name, seconds(times), f"{sorted(times)[len(times) // 2] / floor:.1f}"))
    load = [sys.executable, "-c", f"import joblib, numpy; joblib.load({str(EXAMPLE / MODEL)!r})"]
    times = timed(lambda: subprocess.run(load, check=True), RUNS)
    table.rows.append(("importing joblib and numpy and loading the model, alone", seconds(times), ""))
    return table


def make_trivial(work: Path) -> Path:
    """An app whose script imports nothing."""
    project = work / "trivial"
    project.mkdir()
    (project / "score.py").write_text("def init(): pass\ndef run(data): return []\n")
    fnpack(
        "build",
        "--trigger",
        "http",
        "--auth-level",
        "anonymous",
        "--app-only",
        str(work / "trivial-app"),
        cwd=project,
    )
    return work / "trivial-app"


def make_example(work: Path) -> Path:
    """The example, trained."""
    project = work / "example"
    shutil.copytree(EXAMPLE, project)
    if not (EXAMPLE / MODEL).exists():
        subprocess.run([sys.executable, "train.py"], cwd=EXAMPLE, check=True, capture_output=True)
        shutil.copy(EXAMPLE / MODEL, project)
    fnpack(
        "build",
        "--model",
        MODEL,
        "--auth-level",
        "anonymous",
        "--app-only",
        str(work / "example-app"),
        cwd=project,
    )
    return work / "example-app"


def first_answer(command: Sequence[str], body: bytes, log: Path) -> float:
    """Seconds from starting `command` to its first 200."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    since = time.perf_counter()
    with process([part.replace("{port}", str(port)) for part in command], log):
        while time.perf_counter() - since < 60:
            try:
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
                connection.request("POST", "/api/score", body)
                response = connection.getresponse()
                answer = response.read()
                connection.close()
            except OSError:
                time.sleep(0.005)
                continue
            if response.status == 200:
                json.loads(answer)
                return time.perf_counter() - since
            time.sleep(0.005)
    raise SystemExit(f"no answer in 60 s:\n{log.read_text()}")
