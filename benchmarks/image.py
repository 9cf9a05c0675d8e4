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
        for number, content in enumerate(layers(engine, tag)):
            part = "base" if number < base_layers else part_of(content)
            totals[part][0] += len(gzip.compress(content, 6))
            totals[part][1] += len(content)
        engine.images.remove(tag)
        cells = [f"{small / 1e6:.1f} / {large / 1e6:.1f}" for small, large in totals.values()]
        table.rows.append((trigger, *cells))
    table.notes.append(
        "`host and app` holds fnpack's host, its own Python packages, the adapter and the entry script."
    )
    return table


def part_of(layer: bytes) -> str:
    """Which column a layer counts for, by what lies in it."""
    with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
        names = tar.getnames()
    if any(".python_packages/lib/" in name for name in names):
        return "dependencies"
    return "model" if any("azureml-models/" in name for name in names) else "host and app"


def layers(engine: DockerClient, tag: str) -> Iterator[bytes]:
    """Each layer's tar bytes, from the lowest."""
    with tempfile.TemporaryFile() as file:
        for chunk in engine.images.get(tag).save():
            file.write(chunk)
        file.seek(0)
        with tarfile.open(fileobj=file) as archive:
            manifest = json.load(read(archive, "manifest.json"))[0]
            for name in manifest["Layers"]:
                yield read(archive, name).read()


def read(archive: tarfile.TarFile, name: str) -> io.BufferedIOBase:
    """A member's bytes."""
    member = archive.extractfile(name)
    assert member is not None
    return member  # type: ignore[return-value]


def rebuilds(project: Path, base: str, registry: str) -> Table:
    """Whole-command times of both builders: the first build, nothing changed, script edited; all are pushed."""
    table = Table(
        f"Build and push to a registry on this machine, whole command (median of {RUNS} runs)",
        ("what", "without Docker", "Docker Engine (BuildKit)", "ratio"),
    )
    columns = [
        measured(project, base, f"{registry}/{builder}:latest", builder) for builder in ("oci", "docker")
    ]
    for name in columns[0]:
        own, engine = (column[name] for column in columns)
        ratio = sorted(engine)[len(engine) // 2] / sorted(own)[len(own) // 2]
        table.rows.append((name, seconds(own), seconds(engine), f"{ratio:.1f} times"))
    table.notes.append(
        "The first build finds wheels in the cache; Docker's layers of dependencies are made anew. It checks the app "
        "(imports, init()), as does the last row; what did not change is not checked again."
    )
    return table


def measured(project: Path, base: str, tag: str, builder: str) -> dict[str, list[float]]:
    """Seconds of each case with one builder."""
    options = [
        "build",
        *OPTIONS,
        "--trigger",
        "blob",
        "--base-image",
        base,
        "--tag",
        tag,
        "--push",
        "--builder",
        builder,
    ]

    def once(edit: str = "", *more: str) -> float:
        if edit:
            with (project / "score.py").open("a") as script:
                script.write(f"# edit {edit} {time.time_ns()}\n")
        since = time.perf_counter()
        fnpack(*options, *more, cwd=project)
        return time.perf_counter() - since

    times = {"first build": [once()]}
    once()
    times["nothing changed"] = [once() for _ in range(RUNS)]
    times["score.py edited"] = [once(str(number), "--no-check") for number in range(RUNS)]
    times["score.py edited, with its check"] = [once(str(number)) for number in range(RUNS)]
    with contextlib.suppress(Exception), base_image.docker_engine() as engine:
        engine.images.remove(tag, force=True)
    return times
