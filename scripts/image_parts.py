"""Images made of given bytes, for tests and benchmarks that push them."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fnpack.oci import image as oci_image
from fnpack.oci.content import CONFIG, LAYER, LAYER_GZIP, MANIFEST, BytesContent, Layer
from fnpack.oci.outputs import write_layout
from fnpack.registry import Reference


@dataclass(frozen=True)
class Image:
    """The parts that `push_image` takes."""

    manifest: BytesContent
    config: BytesContent
    layers: list[Layer]

    @property
    def parts(self) -> dict[str, Any]:
        """They as keyword arguments."""
        return {"manifest": self.manifest, "config": self.config, "layers": self.layers}


def layer(data: bytes, title: str = "") -> Layer:
    """A layer of these bytes, which need not be a tar."""
    content = BytesContent.of(data, LAYER)
    return Layer(content, content.descriptor.digest, title)


def image(*layers: Layer, platform: str = "linux/amd64", **extra: object) -> Image:
    """An image of these layers; `extra` goes into the manifest."""
    system, architecture = platform.split("/")
    config = {
        "os": system,
        "architecture": architecture,
        "rootfs": {"type": "layers", "diff_ids": [one.diff_id for one in layers]},
        "config": {},
    }
    described = BytesContent.of(json.dumps(config).encode(), CONFIG)
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": described.descriptor.to_json(),
        "layers": [one.descriptor.to_json() for one in layers],
        **extra,
    }
    return Image(BytesContent.of(json.dumps(manifest).encode(), MANIFEST), described, list(layers))


def reference(registry: str, name: str = "app", tag: str = "1", team: str = "") -> Reference:
    """A repository of the caller's own."""
    return Reference.parse(f"{registry}/{team or f'test-{uuid.uuid4().hex[:12]}'}/{name}:{tag}")


def python_base(platform: str) -> oci_image.Image:
    """An image that looks like Debian with Python 3.11 to a build; nothing in it runs."""
    layers = [
        _tar_layer({"lib/x86_64-linux-gnu/libc.so.6": b"", "var/lib/dpkg/status": _STATUS}),
        _tar_layer({"usr/bin/python3.11": b"\0" * 5000}),
    ]
    system, architecture = platform.split("/")
    config = {
        "os": system,
        "architecture": architecture,
        "config": {"Env": ["PATH=/usr/bin"]},
        "history": [
            {"created_by": "base"},
            {"created_by": "ENV A=b", "empty_layer": True},
            {"created_by": "py"},
        ],
        "rootfs": {"type": "layers", "diff_ids": [one.diff_id for one in layers]},
    }
    settings = oci_image.ImageSettings({}, {})
    return oci_image.build(config, layers, [], settings, created="2020-01-01T00:00:00Z", annotations={})


def write_python_base(folder: Path, *platforms: str) -> str:
    """The same in an OCI layout, for one platform or several; returns what `--base-image` is given."""
    write_layout([python_base(platform) for platform in platforms or ("linux/amd64",)], folder)
    return f"oci-layout:{folder}"


_STATUS = b"Package: libc6\nStatus: ok\nVersion: 2.36-9\n"


def _tar_layer(files: Mapping[str, bytes]) -> Layer:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o755
            tar.addfile(entry, io.BytesIO(content))
    diff_id = f"sha256:{hashlib.sha256(out.getvalue()).hexdigest()}"
    return Layer(BytesContent.of(gzip.compress(out.getvalue(), mtime=0), LAYER_GZIP), diff_id)
