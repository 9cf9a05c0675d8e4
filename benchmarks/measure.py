"""What the benchmarks share: times of runs, percentiles, a table with its command and machine."""

from __future__ import annotations

import json
import math
import os
import platform
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = ROOT / "examples" / "diabetes"
LAUNCH = Path(__file__).resolve().parent / "launch.py"
MODEL = "sklearn_regression_model.pkl"
sys.path.insert(0, str(ROOT / "scripts"))


@dataclass
class Table:
    """Rows of one benchmark: what was measured, its figures, and what they stand beside."""

    title: str
    columns: Sequence[str]
    rows: list[Sequence[str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def markdown(self) -> str:
        """The table as Markdown."""
        lines = [
            f"## {self.title}",
            "",
            "| " + " | ".join(self.columns) + " |",
            "|" + "---|" * len(self.columns),
        ]
        lines += ["| " + " | ".join(row) + " |" for row in self.rows]
        return "\n".join([*lines, "", *self.notes, ""])


def machine() -> str:
    """One line about where the figures come from."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    load = os.getloadavg()[0]
    return (
        f"{os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()} {platform.release().split('-')[0]}, "
        f"Python {platform.python_version()}, load average {load:.1f} at the start"
    )


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` of the values lie (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def seconds(values: Sequence[float]) -> str:
    """`median (min to max)` of seconds."""
    return f"{statistics.median(values):.2f} s ({min(values):.2f} to {max(values):.2f})"


def size(count_bytes: float) -> str:
    """Bytes as a person reads them."""
    for unit, least in (("MB", 1e6), ("kB", 1e3)):
        if count_bytes >= least:
            return f"{count_bytes / least:.1f} {unit}"
    return f"{count_bytes:.0f} B"


def timed(work: Callable[[], object], runs: int) -> list[float]:
    """How long each of `runs` runs took, after one that does not count."""
    times = []
    for _ in range(runs + 1):
        since = time.perf_counter()
        work()
        times.append(time.perf_counter() - since)
    return times[1:]


@dataclass(frozen=True)
class Sample:
    """A command's run as a whole process: its seconds, and the peak memory of its largest process."""

    seconds: float
    peak_bytes: int

    def __add__(self, other: Sample) -> Sample:
        """One after the other."""
        return Sample(self.seconds + other.seconds, max(self.peak_bytes, other.peak_bytes))


def sample(
    command: Sequence[str], cwd: Path | None = None, environment: dict[str, str] | None = None
) -> Sample:
    """Run a command that has to succeed; Python keeps its byte code, as it does for what is installed."""
    launched = [sys.executable, "-I", "-S", str(LAUNCH), *command]
    variables = {**os.environ, **(environment or {})}
    variables.pop("PYTHONDONTWRITEBYTECODE", None)
    done = subprocess.run(
        launched,
        cwd=cwd,
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )
    told = json.loads(done.stdout) if done.stdout else {"code": done.returncode}
    if told["code"]:
        raise SystemExit(f"{' '.join(command)} ended with {told['code']}:\n{done.stderr[-4000:]}")
    return Sample(told["seconds"], told["peak_bytes"])


def fnpack(*arguments: str, cwd: Path) -> str:
    """Run the command line; returns stdout."""
    done = subprocess.run(
        [sys.executable, "-m", "fnpack", *arguments], cwd=cwd, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"fnpack {' '.join(arguments)} ended with {done.returncode}:\n{done.stderr}")
    return done.stdout.strip()


@contextmanager
def process(
    command: Sequence[str], log: Path, environment: dict[str, str] | None = None, cwd: Path | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server for the length of the block."""
    with log.open("wb") as file:
        child = subprocess.Popen(
            command,
            cwd=cwd,
            env={**os.environ, **(environment or {})},
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    try:
        yield child
    finally:
        child.terminate()
        child.wait(30)
        with suppress(ProcessLookupError):  # some leave children behind
            os.killpg(child.pid, signal.SIGKILL)
