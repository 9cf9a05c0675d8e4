"""Runs the benchmarks and keeps their figures in `benchmarks/results/`: `run.py [PART ...]`.

Not tests: nothing passes or fails here. Floors are measured in the same run as what stands beside them.
"""

from __future__ import annotations

import sys
import tempfile
from datetime import datetime, timezone
from pathlib import Path

import blob_latency
import blob_throughput
import dev
import http_throughput
import image
import queue_throughput
import registry_push
import service_bus
import start
from measure import ROOT, Table, machine

PARTS = {
    "start": start.run,
    "dev": dev.run,
    "blob": blob_latency.run,
    "blobs": blob_throughput.run,
    "queue": queue_throughput.run,
    "service_bus": service_bus.run,
    "http": http_throughput.run,
    "image": image.run,
    "registry": registry_push.run,
}


def main(names: list[str]) -> int:
    """Run the named parts, all by default."""
    unknown = [name for name in names if name not in PARTS]
    if unknown:
        print(f"no benchmark {', '.join(unknown)}; there are {', '.join(PARTS)}", file=sys.stderr)
        return 2
    for name in names or PARTS:
        head = f"`python benchmarks/run.py {name}` on {machine()}, {datetime.now(timezone.utc):%Y-%m-%d}\n"
        with tempfile.TemporaryDirectory(prefix="fnpack-bench-") as work:
            measured = PARTS[name](Path(work))
        tables: list[Table] = measured if isinstance(measured, list) else [measured]
        text = "\n".join([head, *(table.markdown() for table in tables)])
        print(text, flush=True)
        (ROOT / "benchmarks" / "results" / f"{name}.md").write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
