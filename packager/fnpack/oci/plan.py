"""An image before it is made, as plain data, and the image as it is: the one thing that all outputs take."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, cast

from fnpack.oci.base import Base
from fnpack.oci.cache import LayerRecord
from fnpack.oci.content import (
    CONFIG,
    INDEX,
    LAYER,
    LAYER_GZIP,
    MANIFEST,
    BytesContent,
    Descriptor,
    Layer,
)
from fnpack.oci.errors import PlanInvalid
from fnpack.oci.recipe import DIFF_ID, RECIPE, Recipe
from fnpack.oci.runtime import Runtime

if TYPE_CHECKING:
    from fnpack.oci.clashes import Clashes

MOST_LAYERS = 127  # what the Docker Engine takes
CLASHES = "io.fnpack.clashes"
_OCI_TYPES = {  # the same bytes under the names that Docker's own manifests have for them
    "application/vnd.docker.image.rootfs.diff.tar": LAYER,
    "application/vnd.docker.image.rootfs.diff.tar.gzip": LAYER_GZIP,
    "application/vnd.docker.image.rootfs.diff.tar.zstd": "application/vnd.oci.image.layer.v1.tar+zstd",
}


@dataclass(frozen=True, slots=True)
class ImagePlan:
    """An image for one platform: what it stands on, its own layers from slow to fast changing, and how it runs.

    `annotations` are the manifest's. `epoch_s` is the time that the image is said to be made at, in Unix seconds.
    """

    base: Base
    recipes: tuple[Recipe, ...]
    runtime: Runtime
    annotations: Mapping[str, str] = field(default_factory=dict)
    epoch_s: int = 0

    def __post_init__(self) -> None:
        count = len(self.base.layers) + len(self.recipes)
        if count > MOST_LAYERS:
            raise PlanInvalid(
                f"the image would have {count} layers ({len(self.base.layers)} of them the base's), more than the "
                f"{MOST_LAYERS} that container engines take",
                hint="choose a base image of fewer layers",
            )
        seen: dict[str, str] = {}
        for recipe in self.recipes:
            for path in recipe.paths:
                if path in seen:
                    raise PlanInvalid(f"`/{path}` is in two layers: {seen[path]} and {recipe.title}")
                seen[path] = recipe.title


@dataclass(frozen=True)
class Image:
    """An image that is made, as far as it has to be: config, manifest, and layers whose bytes may still be lazy.

    The first `base_count` of `layers` are the base's.
    """

    config: BytesContent
    layers: tuple[Layer, ...] = field(repr=False)
    base_count: int
    platform: str
    annotations: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def manifest(self) -> BytesContent:
        """The OCI manifest."""
        plain: dict[str, object] = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": self.config.descriptor.to_json(),
            "layers": [_oci(layer.descriptor).to_json() for layer in self.layers],
        }
        if self.annotations:
            plain["annotations"] = dict(sorted(self.annotations.items()))
        return BytesContent.of(json_bytes(plain), MANIFEST)

    @property
    def digest(self) -> str:
        """The manifest's."""
        return self.manifest.descriptor.digest

    @property
    def own_layers(self) -> tuple[Layer, ...]:
        """The layers on top of the base."""
        return self.layers[self.base_count :]

    @property
    def image_id(self) -> str:
        """What engines call it: the config's digest."""
        return self.config.descriptor.digest


def index_of(images: Sequence[Image], annotations: Mapping[str, str] | None = None) -> BytesContent:
    """The index of images for several platforms, in the order given. Raises PlanInvalid if two are for one platform."""
    platforms = [image.platform for image in images]
    if len(set(platforms)) != len(platforms):
        raise PlanInvalid(f"two images are for one platform: {', '.join(sorted(platforms))}")
    entries = [
        {**image.manifest.descriptor.to_json(), "platform": platform_json(image.platform)} for image in images
    ]
    plain: dict[str, object] = {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}
    if annotations:
        plain["annotations"] = dict(sorted(annotations.items()))
    return BytesContent.of(json_bytes(plain), INDEX)


@dataclass(frozen=True, slots=True)
class KnownLayers:
    """What an earlier image says of its layers, by the keys of their recipes, and of its packages' clashes."""

    records: Mapping[str, LayerRecord] = field(default_factory=dict)
    clashes: Mapping[str, object] = field(default_factory=dict)

    @classmethod
    def of(cls, *manifests: bytes) -> KnownLayers:
        """Read the manifests of images; what is not understood is left out."""
        records: dict[str, LayerRecord] = {}
        clashes: dict[str, object] = {}
        for manifest in manifests:
            with suppress(ValueError, AttributeError, TypeError):
                content = json.loads(manifest)
                records |= dict(filter(None, map(_record, content.get("layers") or [])))
                clashes |= json.loads((content.get("annotations") or {}).get(CLASHES, "{}"))
        return cls(records, clashes)


def clashes_note(*found: Clashes) -> dict[str, str]:
    """The annotation of a manifest that spares a later build on another machine the comparison of packages."""
    return {CLASHES: json_bytes({one.key: one.to_json() for one in found}).decode()}


def _record(entry: Mapping[str, object]) -> tuple[str, LayerRecord] | None:
    notes = cast("Mapping[str, str]", entry.get("annotations") or {})
    key, diff_id = notes.get(RECIPE), notes.get(DIFF_ID)
    if not key or not diff_id:
        return None
    kind, digest, size = entry.get("mediaType"), entry.get("digest"), entry.get("size")
    if not isinstance(kind, str) or not isinstance(digest, str) or not isinstance(size, int):
        return None
    return key, LayerRecord(kind, digest, size, diff_id)


def platform_json(platform: str) -> dict[str, str]:
    """`linux/arm64/v8` as manifests have it."""
    return dict(zip(("os", "architecture", "variant"), platform.split("/"), strict=False))


def json_bytes(value: object) -> bytes:
    """JSON in one form only."""
    return json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False).encode()


def config_content(config: Mapping[str, object]) -> BytesContent:
    """The config as a blob."""
    return BytesContent.of(json_bytes(config), CONFIG)


def _oci(descriptor: Descriptor) -> Descriptor:
    kind = _OCI_TYPES.get(descriptor.media_type, descriptor.media_type)
    return Descriptor(kind, descriptor.digest, descriptor.size_bytes, descriptor.annotations)
