"""What an image weighs beyond base, dependencies and model."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from measure import MODEL, Table, fnpack

if TYPE_CHECKING:
    from docker import DockerClient

OPTIONS = ["--inference-config", "inferenceconfig.json", "--model", MODEL]


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
