"""Turns a plan into an image: layers that are known are not made, the others are made side by side."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fnpack.oci.cache import LayerCache
from fnpack.oci.config import image_config
from fnpack.oci.content import Layer
from fnpack.oci.plan import Image, ImagePlan, KnownLayers, config_content
from fnpack.oci.recipe import Recipe
from fnpack.progress import Progress, ProgressEvent, ignore

if TYPE_CHECKING:
    from threading import Event

    from fnpack.progress import Status

_NOTHING = KnownLayers()
_MOST_WORKERS = 8


def assemble(
    plan: ImagePlan,
    cache: LayerCache,
    *,
    known: KnownLayers = _NOTHING,
    progress: Progress = ignore,
    workers: int | None = None,
) -> Image:
    """The image of a plan. `known` is what an earlier image in the same repository says of its layers.

    A layer that is known from there is made only when its bytes are read, that is, if the registry lacks them.
    Raises what the recipes raise.
    """
    layers: list[Layer | None] = []
    missing: list[tuple[int, Recipe]] = []
    for number, recipe in enumerate(plan.recipes):
        key, layer = recipe.find(cache)
        if layer is None and (record := known.records.get(key)) is not None:
            layer = recipe.known(record, cache)
        if layer is None:
            missing.append((number, recipe))
        else:
            progress(_event(recipe, "cached", layer))
        layers.append(layer)
    if missing:
        _make(missing, layers, cache, progress, workers or min(os.cpu_count() or 1, _MOST_WORKERS))
    own = [layer for layer in layers if layer is not None]
    config = image_config(plan.base, own, plan.runtime, plan.epoch_s)
    return Image(
        config_content(config),
        (*plan.base.layers, *own),
        len(plan.base.layers),
        plan.base.platform,
        plan.annotations,
    )


def _make(
    missing: Sequence[tuple[int, Recipe]],
    layers: list[Layer | None],
    cache: LayerCache,
    progress: Progress,
    workers: int,
) -> None:
    from threading import Lock

    from fnpack.registry.parallel import in_parallel

    lock = Lock()

    def tell(event: ProgressEvent) -> None:
        with lock:
            progress(event)

    def make(item: tuple[int, Recipe], _: Event) -> None:
        number, recipe = item
        since = time.monotonic()
        tell(ProgressEvent(f"layer {recipe.title}", "started"))
        try:
            layers[number] = made = recipe.make(cache)
        except BaseException:
            tell(ProgressEvent(f"layer {recipe.title}", "failed", duration_s=time.monotonic() - since))
            raise
        tell(_event(recipe, "done", made, time.monotonic() - since))

    in_parallel(make, missing, workers)


def _event(recipe: Recipe, status: Status, layer: Layer, duration_s: float | None = None) -> ProgressEvent:
    size = layer.descriptor.size_bytes
    return ProgressEvent(f"layer {recipe.title}", status, layer.descriptor.digest, size, size, duration_s)
