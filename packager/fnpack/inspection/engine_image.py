"""An image in the Docker Engine, as the Engine describes it: sizes are of unpacked layers, and no SBOM is there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from fnpack.inspection.opened import OpenedImage, platform_of
from fnpack.oci.content import LAYER, Descriptor
from fnpack.registry.errors import ImageNotFound, PlatformMissing

if TYPE_CHECKING:
    from fnpack.engine import Engine

_OWN = "fnpack"


def open_image(reference: str, platform: str | None, insecure: Sequence[str]) -> OpenedImage:
    """Open it. Raises EngineMissing, ImageNotFound, PlatformMissing."""
    from docker.errors import APIError
    from docker.errors import ImageNotFound as NotInEngine

    from fnpack.engine.sdk import image_history, inspect_image

    with _connected() as engine:
        try:
            facts = inspect_image(engine.client.api, reference)
            history = image_history(engine.client.api, reference)
        except (NotInEngine, APIError) as error:
            raise ImageNotFound(
                f"the Docker Engine has no image `{reference}`",
                hint="`docker images` lists those that it has; an image in a registry is named with its registry",
            ) from error
    steps = [
        {
            "created_by": one.get("CreatedBy"),
            "comment": one.get("Comment"),
            "size": _int(one.get("Size")),
        }
        for one in reversed(history)
    ]
    rootfs = facts.get("RootFS")
    diff_ids = [str(one) for one in (rootfs.get("Layers") or [])] if isinstance(rootfs, Mapping) else []
    sizes, told = _aligned(diff_ids, steps, _int(facts.get("Size")))
    config = {
        "os": facts.get("Os"),
        "architecture": facts.get("Architecture"),
        "variant": facts.get("Variant"),
        "created": facts.get("Created"),
        "config": facts.get("Config"),
        "history": told,
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    }
    found = platform_of(config)
    if platform and not f"{found}/".startswith(f"{platform}/"):
        raise PlatformMissing(reference, platform, [found])
    return OpenedImage(
        "engine",
        reference,
        config,
        str(facts.get("Id")),
        tuple(Descriptor(LAYER, one, size) for one, size in zip(diff_ids, sizes, strict=True)),
        is_compressed=False,
    )


def _connected() -> Engine:
    from fnpack.engine import Engine, EngineMissing
    from fnpack.engine.errors import WITHOUT_AN_ENGINE

    try:
        return Engine.connect()
    except EngineMissing as error:
        other_ways = "An image in a registry, in an OCI layout or in an archive is inspected without one."
        error.hint = (error.hint or "").replace(WITHOUT_AN_ENGINE, other_ways)
        raise


def _aligned(
    diff_ids: Sequence[str], steps: Sequence[Mapping[str, object]], size_bytes: int
) -> tuple[list[int], list[Mapping[str, object]]]:
    """A size and a step for each layer. The Engine does not say which steps made one; those with a size surely did."""
    for some in (steps, [one for one in steps if one["size"]]):
        if len(some) == len(diff_ids):
            return [_int(one["size"]) for one in some], list(some)
    own = [one for one in steps if one["created_by"] == _OWN]
    below = len(diff_ids) - len(own)
    if not own or below < 0:
        return [size_bytes, *[0] * (len(diff_ids) - 1)][: len(diff_ids)], []
    sizes = [_int(one["size"]) for one in own]
    rest = [max(0, size_bytes - sum(sizes)), *[0] * (below - 1)][:below]  # the base's, all in one
    return [*rest, *sizes], [*({} for _ in range(below)), *own]


def _int(value: object) -> int:
    return value if isinstance(value, int) else 0
