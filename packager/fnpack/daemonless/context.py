"""What every step of a build without an Engine needs to know."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fnpack.config.build import BuildSettings
from fnpack.oci.cache import LayerCache
from fnpack.oci.plan import KnownLayers
from fnpack.progress import Progress

if TYPE_CHECKING:
    from fnpack.registry import Registries


@dataclass(frozen=True, slots=True)
class Context:
    """One build. `known` is what an image that was pushed before says of its layers."""

    settings: BuildSettings
    cache: LayerCache
    known: KnownLayers
    registries: Registries
    progress: Progress
