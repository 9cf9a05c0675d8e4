"""An image in a registry: its index, manifest and config, and the SBOM that refers to it. No layer is asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fnpack.inspection.errors import NotAnImage
from fnpack.inspection.opened import OpenedImage, Sbom, check_manifest, parsed, pick, texts
from fnpack.oci.artifacts import CYCLONEDX
from fnpack.registry import (
    Reference,
    Registries,
    RegistryBase,
    RegistryError,
    RegistrySettings,
    get_manifest,
    read_blob,
)
from fnpack.registry.manifests import descriptor_of
from fnpack.registry.referrers import referrers


def open_image(text: str, platform: str | None, insecure: Sequence[str]) -> OpenedImage:
    """Open it. Raises RegistryError in its many kinds, NotAnImage."""
    reference = Reference.parse(text)
    settings = RegistrySettings.discover(insecure=insecure, target=reference.registry)
    with Registries(settings) as registries:
        top = RegistryBase(reference, registries)
        platforms = tuple(one.platform for one in top.platforms() if one.platform)
        base = RegistryBase(top.resolved, registries, pick(platforms, platform))
        content = base.manifest()
        manifest = parsed(content.data, text)
        check_manifest(manifest, text)
        config = base.config()
        sbom, note = _sbom(registries, reference, content.descriptor.digest)
        is_alone = top.resolved.digest == content.descriptor.digest
        return OpenedImage(
            "registry",
            str(reference),
            parsed(config.data, text),
            config.descriptor.digest,
            tuple(one.descriptor for one in base.layers()),
            digest=content.descriptor.digest,
            index_digest=None if is_alone else top.resolved.digest,
            platforms=platforms,
            annotations=texts(manifest.get("annotations")),
            sbom=sbom,
            note=note,
        )


def _sbom(registries: Registries, reference: Reference, digest: str) -> tuple[Sbom | None, str]:
    """The first SBOM that refers to the image, or None and why it cannot be read."""
    try:
        found = referrers(reference, digest, registries=registries, artifact_type=CYCLONEDX)
        if not found:
            return None, ""
        place = reference.at(found[0].descriptor.digest)
        layers = parsed(get_manifest(registries, place).data, str(place)).get("layers")
        first = layers[0] if isinstance(layers, list) and layers else None
        data = read_blob(registries, place, descriptor_of(first, place))
        document: Mapping[str, object] = parsed(data, str(place))
    except (RegistryError, NotAnImage) as error:
        return None, f"the SBOM cannot be read: {error}"
    return Sbom(found[0].descriptor.digest, document), ""
