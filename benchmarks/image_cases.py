"""What the image benchmark measures of each contender: first builds, changes, a new CI machine; and its tables."""

from __future__ import annotations

import os
import shutil
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from delay_proxy import DelayProxy
from image_contenders import SMALL_MODEL, Contender, elsewhere, remove_checkout
from measure import Sample, Table, size

COLD, WARM = "first build, cold", "first build, wheels cached"
MODEL, NOTHING, EDIT = "model change (200 MB)", "nothing changed", "script edited"
MACHINE = "script edited, on a new CI machine"
WANTED = {COLD: "4 s", MODEL: "2.5 s", NOTHING: "0.15 s", EDIT: "0.15 s"}
RUNS = {COLD: 3, WARM: 1, MODEL: 3, NOTHING: 7, EDIT: 7, MACHINE: 2}
FAR_RUNS = {COLD: 1, WARM: 1, MODEL: 2, NOTHING: 3, EDIT: 3, MACHINE: 1}


@dataclass
class Cell:
    """The runs of one contender in one case, and the bytes that the last of them sent."""

    samples: list[Sample] = field(default_factory=list)
    sent_bytes: int = 0

    @property
    def seconds(self) -> list[float]:
        """Of each run."""
        return [one.seconds for one in self.samples]

    @property
    def time(self) -> str:
        """Median and range."""
        times = self.seconds
        spread = f" ({min(times):.2f} to {max(times):.2f})" if len(times) > 1 else ""
        return f"{statistics.median(times):.2f} s{spread}"


Cells = dict[tuple[str, str], Cell]  # by case and contender


class Leg:
    """All cases at one distance from the registry; contenders take turns, so that a busy machine is busy for all."""

    def __init__(self, registry: str, storage: Path, work: Path, proxy: DelayProxy | None = None) -> None:
        self.registry, self.storage, self.work, self.proxy = registry, storage, work, proxy
        self.cells: Cells = {}

    def measure(self, contenders: Sequence[Contender]) -> Cells:
        """Run all cases."""
        runs = FAR_RUNS if self.proxy else RUNS
        for case, most in runs.items():
            if case == MODEL:  # the caches and repositories that the rest begins with
                for one in contenders:
                    if self.proxy or not one.by_engine:
                        one.run(self.registry)
            for turn in range(most):
                first = turn % len(contenders)  # so that none always comes after the same other
                for one in (*contenders[first:], *contenders[:first]):
                    if turn < self._turns(case, one, most):
                        self._case(case, one)
        return self.cells

    def _turns(self, case: str, one: Contender, most: int) -> int:
        """How often a contender is measured: an Engine cannot forget what it has built, and some take long."""
        if one.by_engine and case in {COLD, WARM, MACHINE}:
            return int(case == COLD and not self.proxy)
        if one.has_check and case in {COLD, WARM, MACHINE}:
            return int(case != WARM and not self.proxy)
        is_slow = one.is_slow or (one.by_engine and case == MODEL)
        return 1 if is_slow else most

    def _case(self, case: str, one: Contender) -> None:
        if case in {COLD, WARM} and not one.by_engine:
            self._first(case, one)
        elif case == MACHINE:
            self._machine(one)
        else:
            if case == MODEL:
                one.change_model()
            elif case == EDIT:
                one.edit_script()
            self._note(case, one, lambda: one.run(self.registry))

    def _first(self, case: str, one: Contender) -> None:
        """Without a lock file, into a new repository; the caches of a cold one are those of later cases."""
        new = elsewhere(one, self.work, one if case == WARM else None)
        (new.project / "pylock.toml").unlink(missing_ok=True)
        (new.project / "model.bin").write_bytes(SMALL_MODEL)
        self._note(case, one, lambda: new.run(self.registry))
        if case == COLD:
            one.environment, new.environment = new.environment, one.environment
            shutil.copy(new.project / "pylock.toml", one.project)
        remove_checkout(new)

    def _machine(self, one: Contender) -> None:
        """A checkout with the lock file, empty caches; the registry has the image from before."""
        new = elsewhere(one, self.work)
        new.edit_script()
        self._note(MACHINE, one, lambda: new.run(self.registry, one.repository))
        remove_checkout(new)

    def _note(self, case: str, one: Contender, run: Callable[[], Sample]) -> None:
        before = self._sent_bytes()
        cell = self.cells.setdefault((case, one.name), Cell())
        os.sync()  # the disk is not busy with what another wrote
        cell.samples.append(run())
        print(f"{case}: {one.name}: {cell.seconds[-1]:.2f} s", file=sys.stderr, flush=True)
        cell.sent_bytes = self._sent_bytes() - before

    def _sent_bytes(self) -> int:
        """What the proxy saw; without one, what the registry holds."""
        if self.proxy:
            return self.proxy.sent_bytes
        return sum(file.stat().st_size for file in self.storage.rglob("*") if file.is_file())


def times(title: str, names: Sequence[str], cells: Cells, wanted: Mapping[str, str]) -> Table:
    """Seconds of each contender, and what they are of the first's."""
    table = Table(title, ("what", "wanted", *names))
    for case in RUNS:
        first = cells[case, names[0]]
        row = []
        for name in names:
            cell = cells.get((case, name))
            pairs = zip(cell.seconds, first.seconds, strict=False) if cell else ()
            ratio = (
                f", x {statistics.median(a / b for a, b in pairs):.1f}" if cell and cell is not first else ""
            )
            row.append(f"{cell.time}{ratio}" if cell else "")
        table.rows.append((case, wanted.get(case, ""), *row))
    return table


def bytes_sent(contenders: Sequence[Contender], near: Cells, far: Cells) -> Table:
    """Bytes to the registry in each case; fnpack's layers are the same each time, and so grow the registry once."""
    table = Table("Bytes sent to the registry", ("what", *(one.name for one in contenders)))
    for case in RUNS:
        near_too = [near if one.by_engine else {} for one in contenders]
        cells = [
            far.get((case, one.name)) or grown.get((case, one.name))
            for one, grown in zip(contenders, near_too, strict=True)
        ]
        table.rows.append((case, *(size(cell.sent_bytes) if cell else "" for cell in cells)))
    table.notes.append(
        "At 50 ms, where a proxy counts all that goes to the registry; what was not run there, by how much more "
        "the registry held. The base image is in the registry before."
    )
    return table


def memory(names: Sequence[str], cells: Cells) -> Table:
    """Peak memory of each contender in each case."""
    table = Table("Peak memory of the largest process", ("what", *names))
    for case in RUNS:
        found = [cells.get((case, name)) for name in names]
        peaks = [max(one.peak_bytes for one in cell.samples) if cell else 0 for cell in found]
        table.rows.append((case, *(size(peak) if peak else "" for peak in peaks)))
    table.notes.append(
        "The Docker Engine's own memory is not in it: what uses it works in the Engine's process and in containers."
    )
    return table
