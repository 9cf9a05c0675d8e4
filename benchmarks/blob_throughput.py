"""Blobs per second beside the bare SDK, a discovery pass over processed blobs, and the memory of a large payload."""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from http_throughput import family, pss_mb
from measure import Table, fnpack, process
from own_log import span_of, wait_ready

from services import Azurite

BLOBS, RUNS = 1000, 3
AT_ONCE = 8 * (os.cpu_count() or 1)  # what the host has by default
IN_AZURITE = (0, 1_000, 10_000)
LISTED = (10_000, 100_000, 1_000_000)  # by a server that can only list; Azurite cannot take in so many
PAYLOAD_MB = 200
BODY = b'{"data": [1, 2, 3]}'
SCRIPT = "import json\ndef init(): pass\ndef run(data): return sum(json.loads(data)['data'])\n"
LENGTH = "def init(): pass\ndef run(data): return len(data)\n"


def run(work: Path) -> list[Table]:
    """Measure; `work` is an empty folder."""
    return [throughput(work), discovery(work), large_payload(work)]


# --- blobs per second ---


def throughput(work: Path) -> Table:
    """A fresh account for each run, filled alike."""
    app, rates = make_app(work, "sum", SCRIPT), []
    for number in range(RUNS):
        with Azurite() as azurite:
            asyncio.run(fill(azurite.connection_string, BLOBS))
            bare_s = run_quick(bare(azurite.connection_string))
        with Azurite() as azurite:  # a fresh one: it slows down with what it has been through
            asyncio.run(fill(azurite.connection_string, BLOBS))
            log, settings = (
                work / f"log-{number}",
                {"TriggerConnectionString": azurite.connection_string},
            )
            with process(run_command(app), log, settings):
                rates.append((BLOBS / bare_s, BLOBS / span_of(log, BLOBS)))
    table = Table(
        f"Blob: {BLOBS} existing blobs, {AT_ONCE} at once, median of {RUNS} runs",
        ("what", "blobs/s", "to the floor"),
    )
    floor, own = (statistics.median(column) for column in zip(*rates, strict=True))
    table.rows.append(("floor: bare aio SDK, list + read + write in one process", f"{floor:.0f}", "1.00"))
    table.rows.append(("fnpack run", f"{own:.0f}", f"{own / floor:.2f}"))
    table.notes.append("fnpack also writes receipts, and runs user code in a process of its own.")
    return table


async def bare(connection_string: str) -> float:
    """Seconds that the SDK needs to list, read, score and write."""
    from azure.storage.blob.aio import BlobServiceClient

    async with BlobServiceClient.from_connection_string(connection_string) as service:
        source, target = service.get_container_client("input"), service.get_container_client("bare")
        await target.create_container()
        since = time.perf_counter()
        names = [name async for name in source.list_blob_names()]

        async def one(name: str) -> None:
            content = await (await source.download_blob(name)).readall()
            result = json.dumps(sum(json.loads(content)["data"])).encode()
            await target.upload_blob(name, result, overwrite=True)

        await at_once(one, names)
        return time.perf_counter() - since


async def fill(connection_string: str, count: int) -> None:
    """Write `count` blobs to `input`."""
    from azure.storage.blob.aio import BlobServiceClient

    async with BlobServiceClient.from_connection_string(connection_string) as service:
        for name in ("input", "output"):
            await service.create_container(name)
        container = service.get_container_client("input")

        async def one(name: str) -> None:
            await container.upload_blob(name, BODY)

        await at_once(one, [f"b{number:07}.json" for number in range(count)])


async def at_once(work: Callable[[str], Awaitable[None]], names: list[str]) -> None:
    """Run `work` for each name, `AT_ONCE` at a time."""
    waiting = iter(names)

    async def worker() -> None:
        for name in waiting:
            await work(name)

    await asyncio.gather(*(worker() for _ in range(AT_ONCE)))


def run_quick(work: Awaitable[float]) -> float:
    """On the loop that the host uses, too."""
    import uvloop

    return float(uvloop.run(work))  # type: ignore[arg-type]


# --- discovery ---


def discovery(work: Path) -> Table:
    """One pass over blobs that are all processed, in a process of its own for each count."""
    table = Table(
        "Blob: one discovery pass over blobs already processed",
        ("listed by", "blobs", "pass s", "of it own CPU s", "memory MB above none"),
    )
    base_mb = 0.0
    for count in IN_AZURITE:
        with Azurite() as azurite:
            asyncio.run(fill(azurite.connection_string, count))
            one = one_pass(azurite.connection_string, azurite.connection_string)
            base_mb = base_mb or one["rss_mb"]
            add_pass(table, "Azurite", count, one, base_mb)
    for count in LISTED:
        command = [sys.executable, str(Path(__file__).with_name("listing_server.py")), str(count)]
        with (
            Azurite() as azurite,
            subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server,
        ):
            assert server.stdout is not None
            endpoint = f"http://127.0.0.1:{server.stdout.readline().strip()}/devstoreaccount1"
            parts = dict(part.split("=", 1) for part in azurite.connection_string.rstrip(";").split(";"))
            listed = ";".join(f"{key}={value}" for key, value in {**parts, "BlobEndpoint": endpoint}.items())
            try:
                add_pass(
                    table, "a listing server", count, one_pass(listed, azurite.connection_string), base_mb
                )
            finally:
                server.kill()
    table.notes.append(
        "The rest of a pass is the server's time and the way. The listing server holds ready pages in the form of "
        "Azure's: the pass and its receipts are the same, and Azurite keeps the receipts."
    )
    return table


def one_pass(source: str, state: str) -> dict[str, float]:
    """What `discovery_pass.py` measures."""
    command = [sys.executable, str(Path(__file__).with_name("discovery_pass.py"))]
    environment = {**os.environ, "INPUT": source, "STORAGE": state}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    measured: dict[str, float] = json.loads(done.stdout)
    return measured


def add_pass(table: Table, by: str, count: int, one: dict[str, float], base_mb: float) -> None:
    """One row."""
    cells = (f"{one['wall_s']:.3f}", f"{one['cpu_s']:.3f}", f"{one['rss_mb'] - base_mb:.1f}")
    table.rows.append((by, f"{count:,}", *cells))


# --- one large payload ---


def large_payload(work: Path) -> Table:
    """A function that says how long its input is."""
    table = Table(
        f"One payload of {PAYLOAD_MB} MB: rise of memory, as a multiple of the payload",
        ("way in", "host, peak RSS", "worker, peak RSS", "both, peak PSS"),
    )
    payload = b"x" * (PAYLOAD_MB * 2**20)
    app = make_app(work, "length-http", LENGTH, "--trigger", "http", "--auth-level", "anonymous")
    log = work / "log-http"
    limit = {"FUNCTIONS_REQUEST_BODY_SIZE_LIMIT": str(2**30)}
    with process(run_command(app), log, limit) as child:
        url = wait_ready(log)
        request = urllib.request.Request(f"{url}/api/score", payload, {"Content-Type": "text/plain"})
        with peaks(child.pid) as rise, urllib.request.urlopen(request, timeout=120) as response:
            assert int(response.read()) == len(payload)
        table.rows.append(("HTTP", *rise))
    app, log = make_app(work, "length-blob", LENGTH), work / "log-blob"
    with Azurite() as azurite:
        from azure.storage.blob import BlobServiceClient

        with BlobServiceClient.from_connection_string(azurite.connection_string) as service:
            for name in ("input", "output"):
                service.create_container(name)
            settings = {"TriggerConnectionString": azurite.connection_string}
            with process(run_command(app), log, settings) as child:
                wait_ready(log)
                with peaks(child.pid) as rise:
                    service.get_blob_client("input", "large.json").upload_blob(payload)
                    span_of(log, 1)
            table.rows.append(("blob", *rise))
    return table


@contextmanager
def peaks(host: int) -> Iterator[list[str]]:
    """Fills a list with the rises of host, worker and both during the block."""
    (_, worker), rise = family(host), []
    before, pss_before = [resident_mb(pid, "VmRSS") for pid in (host, worker)], pss_mb(host) + pss_mb(worker)
    highest, stop = [pss_before], threading.Event()

    def watch() -> None:
        while not stop.wait(0.02):
            highest.append(pss_mb(host) + pss_mb(worker))

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        yield rise
    finally:
        stop.set()
        watching.join()
    after = [resident_mb(pid, "VmHWM") for pid in (host, worker)]
    grown = [*(high - low for high, low in zip(after, before, strict=True)), max(highest) - pss_before]
    rise += [f"{mb / PAYLOAD_MB:.1f}" for mb in grown]


def resident_mb(pid: int, key: str) -> float:
    """`VmRSS` now, or `VmHWM` at most so far, of one process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key)) / 1024


def make_app(work: Path, name: str, script: str, *options: str) -> Path:
    """An app for blobs, or what the options say."""
    project, app = work / name, work / f"{name}-app"
    project.mkdir()
    (project / "score.py").write_text(script)
    fnpack("build", *(options or ("--trigger", "blob")), "--app-only", str(app), cwd=project)
    return app


def run_command(app: Path) -> list[str]:
    """`fnpack run` at any free port."""
    return [sys.executable, "-m", "fnpack", "run", str(app), "--port", "0"]
