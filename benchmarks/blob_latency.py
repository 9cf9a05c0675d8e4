"""From dropping a blob to its output, one by one, beside the bare SDK reading and writing the same blobs."""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path

from measure import Table, fnpack, percentile, process

from services import Azurite

BLOBS = 200
SCRIPT = "import json\ndef init(): pass\ndef run(data): return sum(json.loads(data)['data'])\n"


def run(work: Path) -> Table:
    """Measure; `work` is an empty folder."""
    project, app = work / "sum", work / "sum-app"
    project.mkdir()
    (project / "score.py").write_text(SCRIPT)
    fnpack("build", "--trigger", "blob", "--app-only", str(app), cwd=project)
    table = Table(
        f"Blob: drop to output, {BLOBS} blobs dropped one by one", ("what", "p50 ms", "p99 ms", "max ms")
    )
    with Azurite() as azurite:
        from azure.storage.blob import BlobServiceClient

        with BlobServiceClient.from_connection_string(azurite.connection_string) as service:
            for name in ("input", "output"):
                service.create_container(name)
            floor = [bare(service, f"bare-{number}") for number in range(BLOBS)]
            settings = {"TriggerConnectionString": azurite.connection_string}
            command = [sys.executable, "-m", "fnpack", "run", str(app), "--port", "0"]
            with process(command, work / "log", settings):
                drop_to_output(service, "warm-up", 60)
                times = [drop_to_output(service, f"b{number}", 30) for number in range(BLOBS)]
    for name, values in (("floor: bare SDK, put + get + put in one process", floor), ("fnpack run", times)):
        ms = [value * 1000 for value in values]
        table.rows.append(
            (name, f"{statistics.median(ms):.0f}", f"{percentile(ms, 0.99):.0f}", f"{max(ms):.0f}")
        )
    table.notes.append(
        "The next blob is dropped as soon as the last output is seen; the output is looked for every 5 ms."
    )
    return table


def bare(service, name: str) -> float:  # type: ignore[no-untyped-def]
    """Seconds that the SDK needs to write, read and write a blob of the same size."""
    since = time.perf_counter()
    service.get_blob_client("output", f"{name}.in").upload_blob(b'{"data": [1, 2, 3]}', overwrite=True)
    content = service.get_blob_client("output", f"{name}.in").download_blob().readall()
    service.get_blob_client("output", name).upload_blob(content, overwrite=True)
    return time.perf_counter() - since


def drop_to_output(service, name: str, patience_s: float) -> float:  # type: ignore[no-untyped-def]
    """Seconds from the start of the upload to the output being there."""
    output = service.get_blob_client("output", f"{name}_out.json")
    since = time.perf_counter()
    service.get_blob_client("input", f"{name}.json").upload_blob(b'{"data": [1, 2, 3]}', overwrite=True)
    while not output.exists():
        if time.perf_counter() - since > patience_s:
            raise SystemExit(f"no output for {name} in {patience_s} s")
        time.sleep(0.005)
    return time.perf_counter() - since
