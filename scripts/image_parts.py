"""Images made of given bytes, for tests and benchmarks that push them."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from typing import Any

from fnpack.oci.content import CONFIG, LAYER, MANIFEST, BytesContent, Layer
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
