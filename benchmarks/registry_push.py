"""Pushes to a registry on this machine: whole processes, at no and at 50 ms round trip, and a 5 GB layer's memory.

The image is one as fnpack makes them: a large layer that stays, a small one that changes, a config. The round trip is
added by a proxy to each connection and each request. The floor is a Python that imports http.client and ends.
"""

from __future__ import annotations

import hashlib
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from measure import Table

from fault_proxy import FaultProxy
from services import Registry

RUNS = 7
LARGE_BYTES = 5 * 1024**3
ROUND_TRIP_S = 0.05
CHILD = """
import json, resource, sys
sys.path[:0] = json.loads(sys.argv[2])
from pathlib import Path
from fnpack.oci.content import LAYER, Descriptor, FileContent, Layer
from fnpack.registry import Reference, Registries, RegistrySettings, head_manifest, push_image
from image_parts import image, layer
given = json.loads(sys.argv[1])
target = Reference.parse(given["target"])
large = Descriptor(LAYER, given["digest"], given["size"])
layers = [Layer(FileContent(large, Path(given["path"])), large.digest), layer(given["script"].encode())]
settings = RegistrySettings.discover({"HOME": given["home"], "FNPACK_CACHE": given["cache"]})
with Registries(settings) as client:
    if given["base"]:
        head_manifest(client, target)  # what a build does for its base image
    result = push_image(target, **image(*layers).parts, registries=client)
print(json.dumps({"sent": result.sent_bytes, "rss": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}))
"""


def run(work: Path) -> list[Table]:
    """The tables of this benchmark."""
    with Registry() as registry:
        return [_edits(registry.address, work), _memory(registry.address, work)]


def _edits(address: str, work: Path) -> Table:
    table = Table(
        "A push as a whole process",
        ["round trip", "what changed", "median", "min to max", "requests", "bytes of blobs"],
        notes=[f"Floor: a Python process that imports http.client ends after {_floor()}."],
    )
    for delay_s in (0.0, ROUND_TRIP_S):
        with FaultProxy(address, delay_s) as proxy:
            model = _file(work / "model", 1_000_000)
            child = _child(proxy.address if delay_s else address, work / f"cache-{delay_s}", model)
            child("first", base=False)
            for name, scripts in (
                ("nothing", ["first"] * RUNS),
                ("a script", [f"edit {n}" for n in range(RUNS)]),
            ):
                times, sent = [], 0
                for script in scripts:
                    proxy.requests.clear()
                    since = time.perf_counter()
                    sent = int(child(script)["sent"])
                    times.append(time.perf_counter() - since)
                row = [f"{delay_s * 1000:.0f} ms", name, f"{statistics.median(times):.3f} s"]
                row.append(f"{min(times):.3f} to {max(times):.3f} s")
                table.rows.append([*row, str(len(proxy.requests)) if delay_s else "as below", str(sent)])
    return table


def _memory(address: str, work: Path) -> Table:
    table = Table(
        "A layer of 5 GB, pushed in chunks", ["layer", "time", "rate", "peak memory of the process"]
    )
    for size in (1_000_000, LARGE_BYTES):
        model = _file(work / f"model-{size}", size)
        child = _child(address, work / f"cache-{size}", model)
        since = time.perf_counter()
        told = child("first", base=False)
        duration_s = time.perf_counter() - since
        rate = f"{size / duration_s / 1e6:.0f} MB/s" if size == LARGE_BYTES else ""
        table.rows.append(
            [f"{size:,} bytes", f"{duration_s:.1f} s", rate, f"{int(told['rss']) / 2**20:.0f} MiB"]
        )
    table.notes.append(
        "The file is sparse; its digest was known, as it is to a build that made the layer before."
    )
    return table


def _child(address: str, cache: Path, model: dict[str, object]) -> Callable[..., dict[str, object]]:
    target = f"{address}/bench/{cache.name.replace('.', '-')}:1"
    folders = json.dumps([str(Path(__file__).resolve().parent.parent / "scripts")])

    def push(script: str, *, base: bool = True) -> dict[str, object]:
        given = {
            "target": target,
            "script": script,
            "base": base,
            "cache": str(cache),
            "home": str(cache),
            **model,
        }
        command = [sys.executable, "-c", CHILD, json.dumps(given), folders]
        told = subprocess.run(command, check=True, capture_output=True, text=True)
        return dict(json.loads(told.stdout))

    return push


def _file(path: Path, size: int) -> dict[str, object]:
    with path.open("wb") as file:
        file.truncate(size)
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return {"path": str(path), "digest": f"sha256:{digest.hexdigest()}", "size": size}


def _floor() -> str:
    times = []
    for _ in range(RUNS):
        since = time.perf_counter()
        subprocess.run([sys.executable, "-c", "import http.client"], check=True)
        times.append(time.perf_counter() - since)
    return f"{statistics.median(times):.3f} s"
