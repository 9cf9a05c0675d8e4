"""An image in an archive for `docker load`. Such an archive holds neither a manifest nor an SBOM."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fnpack.inspection.opened import OpenedImage, parsed, platform_of
from fnpack.oci.bases import ArchiveBase
from fnpack.registry.errors import PlatformMissing

_GZIP = b"\x1f\x8b"


def open_image(place: str, platform: str | None, insecure: Sequence[str]) -> OpenedImage:
    """Open it. Raises BaseSourceError, PlatformMissing."""
    base = ArchiveBase(Path(place))
    content = base.config()
    config = parsed(content.data, place)
    found = platform_of(config)
    if platform and not f"{found}/".startswith(f"{platform}/"):
        raise PlatformMissing(f"docker-archive:{place}", platform, [found])
    layers = base.layers()
    packed = 0
    for layer in layers:
        with layer.open() as stream:
            packed += stream.read(2) == _GZIP
    return OpenedImage(
        "docker-archive",
        f"docker-archive:{place}",
        config,
        content.descriptor.digest,
        tuple(layer.descriptor for layer in layers),
        is_compressed=packed > 0,
    )
