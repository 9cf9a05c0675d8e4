"""Reads from the host's own log when its first call began and its last one ended."""

from __future__ import annotations

import re
import time
from datetime import datetime
from pathlib import Path

# 2026-01-31T12:00:00.123Z INFO    copy 1a2b3c4d: input/1.json -> output/1.json, 3.2 ms
_CALL = re.compile(r"^(\S+)Z INFO +\S+ [0-9a-f]{8}: .*, ([\d.]+) ms$", re.MULTILINE)
PATIENCE_S = 120


def calls(log: Path) -> list[tuple[float, float]]:
    """Begin and end of each call, in seconds."""
    found = []
    for moment, took_ms in _CALL.findall(log.read_text("utf-8", "replace")):
        end = datetime.fromisoformat(f"{moment}+00:00").timestamp()
        found.append((end - float(took_ms) / 1000, end))
    return found


def span_of(log: Path, count: int) -> float:
    """Seconds from the begin of the first call to the end of the last of `count`; waits for them."""
    deadline = time.monotonic() + PATIENCE_S
    while len(done := calls(log)) < count:
        if time.monotonic() > deadline:
            raise SystemExit(f"{len(done)} of {count} calls in {PATIENCE_S} s:\n{log.read_text()[-2000:]}")
        time.sleep(0.2)
    return max(end for _, end in done) - min(begin for begin, _ in done)


def wait_ready(log: Path) -> str:
    """Wait until the host is ready; returns its address."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if found := re.search(r"is ready on (http://\S+)", log.read_text("utf-8", "replace")):
            return found[1]
        time.sleep(0.02)
    raise SystemExit(f"the host is not ready:\n{log.read_text()[-2000:]}")
