"""What an image that was pushed before knows of its layers, so that a new machine need not make them again."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from fnpack.oci.cache import LayerCache
from fnpack.oci.plan import KnownLayers

if TYPE_CHECKING:
    from fnpack.daemonless.deliver import Destination
    from fnpack.registry import Registries


def earlier_image(
    destination: Destination, tag: str, registries: Registries, cache: LayerCache
) -> KnownLayers:
    """Read the tag's present image, if there is one and this machine has made no layers yet."""
    if destination.kind != "registry" or (cache.folder / "recipes").is_dir():
        return KnownLayers()
    from fnpack.registry import Reference, RegistryError, get_manifest

    reference = Reference.parse(tag)
    try:
        top = get_manifest(registries, reference)
        listed = json.loads(top.data).get("manifests")
        if not isinstance(listed, list):
            return KnownLayers.of(top.data)
        images = [get_manifest(registries, reference.at(str(one["digest"]))) for one in listed]
    except (RegistryError, LookupError, ValueError, TypeError, AttributeError):
        return KnownLayers()
    return KnownLayers.of(*(image.data for image in images))
