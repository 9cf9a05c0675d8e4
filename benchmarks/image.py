"""The image: what it weighs beyond base, dependencies and model, and how long a rebuild and push take after an edit."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from measure import EXAMPLE, MODEL, Table, fnpack, seconds

import base_image
from services import Registry

if TYPE_CHECKING:
    from docker import DockerClient

RUNS = 5
OPTIONS = ["--inference-config", "inferenceconfig.json", "--model", MODEL]


def run(work: Path) -> list[Table]:
    """Measure; `work` is an empty folder. Needs a Docker Engine."""
    project = work / "diabetes"
    shutil.copytree(EXAMPLE, project)
    if not (project / MODEL).exists():
        subprocess.run([sys.executable, "train.py"], cwd=project, check=True, capture_output=True)
    with base_image.docker_engine() as engine, Registry() as registry:
        base = base_image.ensure(engine)
        return [sizes(engine, project, base), rebuilds(project, base, registry.address)]


def sizes(engine: DockerClient, project: Path, base: str) -> Table:
    """Size of each part of a blob image and of an HTTP image."""
    table = Table(
        "Image size, MB compressed (gzip -6) / on disk",
        ("image", "base", "dependencies", "model", "host and app"),
    )
    base_layers = len(engine.images.get(base).attrs["RootFS"]["Layers"])
    for trigger in ("blob", "http"):
        tag = f"fnpack-bench/{trigger}:latest"
        fnpack("build", *OPTIONS, "--trigger", trigger, "--auth-level" if trigger == "http" else "--input-path",
               "anonymous" if trigger == "http" else "input/{blobname}.json",
               "--base-image", base, "--tag", tag, cwd=project)  # fmt: skip
        totals = {part: [0, 0] for part in ("base", "dependencies", "model", "host and app")}
        for number, (created_by, content) in enumerate(layers(engine, tag)):
            part = "base" if number < base_layers else part_of(created_by)
            totals[part][0] += len(gzip.compress(content, 6))
            totals[part][1] += len(content)
        engine.images.remove(tag)
        cells = [f"{small / 1e6:.1f} / {large / 1e6:.1f}" for small, large in totals.values()]
        table.rows.append((trigger, *cells))
    table.notes.append(
        "`host and app` holds fnpack's host, its own Python packages, the adapter and the entry script."
    )
    return table


def part_of(created_by: str) -> str:
    """Which column a layer counts for."""
    if ".python_packages" in created_by:
        return "dependencies"
    return "model" if "azureml-models" in created_by else "host and app"


def layers(engine: DockerClient, tag: str) -> Iterator[tuple[str, bytes]]:
    """Each layer's instruction and tar bytes, from the lowest."""
    with tempfile.TemporaryFile() as file:
        for chunk in engine.images.get(tag).save():
            file.write(chunk)
        file.seek(0)
        with tarfile.open(fileobj=file) as archive:
            manifest = json.load(read(archive, "manifest.json"))[0]
            config = json.load(read(archive, manifest["Config"]))
            steps = [
                entry.get("created_by", "") for entry in config["history"] if not entry.get("empty_layer")
            ]
            for step, name in zip(steps, manifest["Layers"], strict=True):
                yield step, read(archive, name).read()


def read(archive: tarfile.TarFile, name: str) -> io.BufferedIOBase:
    """A member's bytes."""
    member = archive.extractfile(name)
    assert member is not None
    return member  # type: ignore[return-value]


def rebuilds(project: Path, base: str, registry: str) -> Table:
    """Whole-command times: nothing changed, script edited, script edited and pushed."""
    table = Table(
        f"Rebuild with the Docker Engine, whole command ({RUNS} runs)", ("what", "median (min to max)")
    )
    options = [*OPTIONS, "--trigger", "blob", "--base-image", base, "--tag", f"{registry}/diabetes:latest"]
    fnpack("build", *options, "--push", cwd=project)
    cases = {
        "fnpack build, nothing changed": (False, ()),
        "fnpack build after an edit of score.py": (True, ()),
        "fnpack build --push after an edit of score.py": (True, ("--push",)),
    }
    for name, (edits, extra) in cases.items():
        times = []
        for number in range(RUNS + 1):
            if edits:
                with (project / "score.py").open("a") as script:
                    script.write(f"# edit {number} {time.time_ns()}\n")
            since = time.perf_counter()
            fnpack("build", *options, *extra, cwd=project)
            times.append(time.perf_counter() - since)
        table.rows.append((name, seconds(times[1:])))
    with contextlib.suppress(Exception), base_image.docker_engine() as engine:
        engine.images.remove(f"{registry}/diabetes:latest", force=True)
    return table
