"""How long commands take that build nothing, or build for this machine: help, inspection, an edit into the Engine."""

from __future__ import annotations

import shutil
import statistics
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from image_contenders import FNPACK, FNPACK_OPTIONS, Contender, docker_build
from measure import Sample, Table, sample, size
from peer_environments import PINS, environment

RUNS = 7
SLOW_RUNS = 1
SLOW_S = 3.0

Work = Callable[[], Sample]


def start_up() -> Table:
    """`--help` of fnpack and its peers."""
    commands = {
        "floor: `python -c pass`": [sys.executable, "-c", "pass"],
        "`fnpack --help`": [FNPACK, "--help"],
        "`fnpack build --help`": [FNPACK, "build", "--help"],
    }
    for peer in ("bentoml", "truss", "mlflow"):
        name = f"`{peer} --help` ({PINS[peer]})"
        commands[name] = [f"{environment(peer)}/{peer}", "--help"]
    table = compared(
        "Start of a command",
        {name: partial(sample, command) for name, command in commands.items()},
        {"`fnpack --help`": "0.1 s"},
        "`fnpack --help`",
    )
    table.notes.append("Cog's command line is no package of Python; it is not here.")
    return table


def inspection(near: str, far: str, repository: str) -> Table:
    """What is in an image of a registry."""
    works: dict[str, Work] = {}
    for distance, registry in (("0 ms", near), ("50 ms", far)):
        image = f"{registry}/{repository}:1"
        works[f"`fnpack inspect`, {distance}"] = partial(sample, [FNPACK, "inspect", image])
        if shutil.which("skopeo"):
            command = ["skopeo", "inspect", "--tls-verify=false", f"docker://{image}"]
            works[f"`skopeo inspect`, {distance}"] = partial(sample, command)
    return compared("Look into an image of a registry", works, {}, "`fnpack inspect`, 0 ms")


def engine_load(one: Contender, by_hand: Contender, registry: str, docker: str, work: Path) -> Table:
    """An edited script into the Engine, pushed nowhere."""
    base, tag = f"{registry}/base:1", f"{registry}/engine-only"
    archive = str(work / "image.tar")
    build = [FNPACK, "build", *FNPACK_OPTIONS, "--no-check", "--base-image", base]
    commands = {
        "`fnpack build --output engine`": [[*build, "--tag", f"{tag}:fnpack", "--output", "engine"]],
        "`fnpack build --output docker-archive`, `docker load`": [
            [*build, "--tag", f"{tag}:load", "--output", f"docker-archive:{archive}"],
            [docker, "load", "-q", "-i", archive],
        ],
        "`docker build`": [docker_build(docker, f"{tag}:by-hand", base, work)],
    }

    def work_of(name: str) -> Work:
        def edited() -> Sample:
            contender = by_hand if name == "`docker build`" else one
            contender.edit_script()
            runs = [sample(command, contender.project, contender.environment) for command in commands[name]]
            return sum(runs[1:], runs[0])

        return edited

    first = next(iter(commands))
    table = compared(
        "An edited script into the Docker Engine",
        {name: work_of(name) for name in commands},
        {first: "0.5 s"},
        first,
    )
    table.notes.append(
        "The image holds the 200 MB model. The archive holds all layers, whatever the Engine has."
    )
    return table


def compared(title: str, works: dict[str, Work], wanted: dict[str, str], to: str) -> Table:
    """A row for each; they take turns, after one turn that does not count."""
    samples: dict[str, list[Sample]] = {name: [] for name in works}
    for turn in range(RUNS + 1):
        for name, work in works.items():
            found = samples[name]
            if turn > SLOW_RUNS and found and found[-1].seconds > SLOW_S:
                continue
            found.append(work())
            if turn == 1:
                del found[0]
    table = Table(title, ("command", "wanted", "median (min to max)", f"to {to}", "peak memory"))
    for name, found in samples.items():
        table.rows.append((name, wanted.get(name, ""), *figures(found, samples[to])))
    return table


def figures(found: Sequence[Sample], floor: Sequence[Sample]) -> tuple[str, str, str]:
    """Time, ratio turn by turn, memory."""
    times = [one.seconds for one in found]
    ratio = statistics.median(a.seconds / b.seconds for a, b in zip(found, floor, strict=False))
    time = f"{statistics.median(times):.3f} s ({min(times):.3f} to {max(times):.3f})"
    return time, f"x {ratio:.1f}", size(max(one.peak_bytes for one in found))
