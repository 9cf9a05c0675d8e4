"""Base images: what an image stands on, as plain data, and the places that one can come from.

It knows registries only by the protocol here; `fnpack.registry` has the source for them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO, Protocol, cast

from fnpack.oci.content import Content, Descriptor, Layer
from fnpack.oci.errors import BaseInvalid


@dataclass(frozen=True, slots=True)
class Base:
    """A base image for one platform.

    `name` is what people call it, `digest` the manifest's, or the image id where there is no manifest. `config` is its
    config as JSON. `open_layer` reads one of `layers`; it may keep what it fetched.
    """

    name: str
    digest: str
    config: Mapping[str, object] = field(repr=False)
    layers: tuple[Layer, ...] = field(repr=False)
    open_layer: Callable[[Layer], BinaryIO] = field(repr=False)

    @property
    def platform(self) -> str:
        """`linux/amd64` style."""
        return "/".join(
            str(self.config[key]) for key in ("os", "architecture", "variant") if self.config.get(key)
        )

    @property
    def diff_ids(self) -> tuple[str, ...]:
        """The digests of the uncompressed layers."""
        return tuple(layer.diff_id for layer in self.layers)


class BaseSource(Protocol):
    """Where a base image is: a registry's `RegistryBase` is one, as are the sources of this package."""

    def manifest(self) -> Content:
        """The manifest of the platform's image."""

    def config(self) -> Content:
        """Its config."""

    def layers(self) -> Sequence[Content]:
        """Its layers, the lowest first."""

    def open_layer(self, descriptor: Descriptor) -> BinaryIO:
        """A layer's bytes."""


def base_of(source: BaseSource, name: str) -> Base:
    """The base image that a source has. Raises BaseInvalid, and what the source raises."""
    config = parsed(_read(source.config()), name, "config")
    diff_ids = diff_ids_of(config, name)
    contents = source.layers()
    if len(contents) != len(diff_ids):
        raise BaseInvalid(f"`{name}` has {len(contents)} layers, and its config says {len(diff_ids)}")
    layers = tuple(
        Layer(content, diff_id, f"base layer {number}")
        for number, (content, diff_id) in enumerate(zip(contents, diff_ids, strict=True), 1)
    )
    return Base(
        name,
        source.manifest().descriptor.digest,
        config,
        layers,
        lambda layer: source.open_layer(layer.descriptor),
    )


def parsed(data: bytes, name: str, what: str) -> dict[str, object]:
    """A JSON object of an image. Raises BaseInvalid."""
    try:
        value = json.loads(data)
    except ValueError as exc:
        raise BaseInvalid(f"the {what} of `{name}` is not JSON: {exc}") from exc
    if not isinstance(value, dict):
        raise BaseInvalid(f"the {what} of `{name}` is not a JSON object")
    return value


def diff_ids_of(config: Mapping[str, object], name: str) -> list[str]:
    """The digests of the uncompressed layers that a config lists. Raises BaseInvalid."""
    rootfs = config.get("rootfs")
    listed = cast("Mapping[str, object]", rootfs).get("diff_ids") if isinstance(rootfs, Mapping) else None
    if not isinstance(listed, list) or not all(isinstance(one, str) for one in listed):
        raise BaseInvalid(f"the config of `{name}` does not list its layers", hint="is it an image?")
    return listed


def _read(content: Content) -> bytes:
    with content.open() as stream:
        return stream.read()
