"""What the layers of one platform's image are made from, and the image that they make."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from fnpack.app.directory import MODELS, FunctionApp, write_app
from fnpack.build import step
from fnpack.config.build import BuildSettings
from fnpack.daemonless.ahead import Ahead
from fnpack.daemonless.base import Base, base_for, python_of
from fnpack.daemonless.earlier import Earlier
from fnpack.daemonless.packages import conda_of, host_layers, package_layers, resolved
from fnpack.oci import function_app
from fnpack.oci.content import Layer
from fnpack.oci.image import Image, ImageSettings, build
from fnpack.oci.layer_cache import Known, LayerCache
from fnpack.oci.recipes import Recipe, is_new, layer_of
from fnpack.progress import Progress, ProgressEvent, in_phase
from fnpack.provenance.contents import ModelContents, model_contents, models_labels

if TYPE_CHECKING:
    from fnpack.dependencies.conda.environment import CondaEnvironment
    from fnpack.dependencies.conda.prefix import CondaPrefix
    from fnpack.dependencies.provide import Dependencies
    from fnpack.dependencies.target import Target
    from fnpack.oci.model_layers import ModelLayers
    from fnpack.registry import Push, Registries

_MOST_WORKERS = 4  # layers are made by processors; two on one would only make the largest late


class Parts:
    """What layers are made from, for one platform."""

    def __init__(
        self, base: Base, target: Target, app: FunctionApp, model_files: dict[str, dict[str, Path]]
    ) -> None:
        """`model_files` are by model, path in the image to file here."""
        self.base, self.target, self.app, self.model_files = base, target, app, model_files
        self.recipes: list[Recipe] = []
        self.conda_python: str | None = None
        self.dependencies: Dependencies | None = None  # pip's packages
        self.prefix: CondaPrefix | None = None
        self.models: list[ModelContents] = []  # known when the layers are
        self.push: Push | None = None  # takes layers as they are made


def parts_of(  # noqa: PLR0917 - a step of a build, called once
    settings: BuildSettings,
    platform: str,
    registries: Registries,
    folder: Path,
    remote: Earlier,
    progress: Progress,
) -> Parts:
    """Find and write all that the image of one platform is made from; `folder` is for the app directory."""
    from fnpack.dependencies.target import Target

    with Ahead(settings, platform, remote, progress) as ahead:
        with in_phase(progress, "base") as told:
            base = base_for(settings, platform, registries, told, ahead.start)
            python_version = python_of(settings, base)
        with in_phase(progress, "resolve"):
            ahead.wait(python_version)
    glibc = (2, base.python.glibc_minor) if base.python.glibc_minor else None
    target = Target(platform, python_version, libc_version=glibc)
    with in_phase(progress, "resolve") as told:
        conda = conda_of(settings, target, told)
        if conda is not None:
            (target,) = conda.targets
        found = resolved(settings, target, conda, ahead.answers, told)
    placed: dict[Path, Path] = {}
    app_folder = folder / platform.replace("/", "-")
    app = write_app(
        settings.app,
        app_folder,
        lock_text=found.requirements_txt if found else "",
        place=lambda source, place: placed.update({place: source}),
    )
    parts = Parts(base, target, app, _model_files(placed))
    parts.dependencies = found
    with in_phase(progress, "resolve") as told:
        _add_recipes(parts, settings, conda, remote, told)
    return parts


def _add_recipes(
    parts: Parts,
    settings: BuildSettings,
    conda: CondaEnvironment | None,
    remote: Earlier,
    progress: Progress,
) -> None:
    """What is installed: the host, a conda environment, pip's packages."""
    target, found = parts.target, parts.dependencies
    if settings.host == "fnpack":
        parts.recipes += host_layers(settings, parts.app.functions, target, remote, progress)
    site = function_app.SITE_PACKAGES
    if conda is not None:
        from fnpack.oci.tree_layers import TreeRecipe

        prefix = parts.prefix = conda.prefixes[target]
        title = f"conda environment of {len(prefix.packages)} packages"
        parts.recipes.append(TreeRecipe(prefix.path, prefix.prefix.strip("/"), prefix.digest, title))
        site, parts.conda_python = prefix.site_packages.strip("/"), prefix.python
    if found is not None:
        parts.recipes += package_layers(found, target, site, remote, progress)


def _model_files(placed: Mapping[Path, Path]) -> dict[str, dict[str, Path]]:
    """The files of each model (`NAME:VERSION`), by their path in the image."""
    models: dict[str, dict[str, Path]] = {}
    for place, source in placed.items():
        parts = place.parts[place.parts.index(MODELS) :]
        path = "/".join((function_app.ROOT, *parts))
        models.setdefault(f"{parts[1]}:{parts[2]}", {})[path] = source
    return dict(sorted(models.items()))


def assemble(
    settings: BuildSettings, parts: Parts, cache: LayerCache, remote: Earlier, progress: Progress
) -> Image:
    """Make the layers that are not known yet, and the image."""
    from fnpack.image.labels import app_labels

    mtime_s = source_date_s()
    recipes = parts.recipes

    def made(recipe: Recipe) -> Layer:
        return _told_layer(recipe, cache, mtime_s, remote, parts.push, layers_progress)

    def all_layers() -> list[Layer]:
        if not new:
            return [made(recipe) for recipe in recipes]
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(min(os.cpu_count() or 1, _MOST_WORKERS)) as pool:
            begun = {
                recipe.key: pool.submit(made, recipe)
                for recipe in sorted(recipes, key=lambda one: -one.size_bytes)
            }
            return [begun[recipe.key].result() for recipe in recipes]

    with in_phase(progress, "layers") as layers_progress:
        app_layer = made(function_app.app_recipe(parts.app.path))
        new = sum(is_new(one, cache, mtime_s=mtime_s, remote=remote.layers) for one in recipes)
        name = f"{len(recipes)} layers for {parts.target.platform}"
        layers = step(layers_progress, name, all_layers, is_cached=lambda _: not new)
    known = {recipe.key: Known.of(layer) for recipe, layer in zip(recipes, layers, strict=True)}
    labels = app_labels(
        parts.app.path,
        parts.base.name,
        settings.host,
        parts.target.python_version,
        parts.app.functions,
    )
    models = []
    with in_phase(progress, "models") as told:
        for name, files in parts.model_files.items():
            found = _told_model(files, f"model {name}", cache, mtime_s, remote, len(parts.model_files), told)
            known |= found.known
            root = f"{function_app.ROOT}/{MODELS}/{name.replace(':', '/')}"
            contents = model_contents(name, root, found.files)
            models.append((contents, [layer.diff_id for layer in found.layers]))
            layers += found.layers
    parts.models = [model for model, _ in models]
    if models:
        labels |= models_labels(models)
    labels["org.opencontainers.image.base.digest"] = parts.base.digest
    labels |= remote.labels(known, parts.base)
    layers.append(app_layer)
    base_config = json.loads(parts.base.source.config().data)
    below = [
        Layer(content, diff_id, "base")
        for content, diff_id in zip(
            parts.base.source.layers(), base_config["rootfs"]["diff_ids"], strict=True
        )
    ]
    created = datetime.fromtimestamp(mtime_s, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    annotations = {key: value for key, value in labels.items() if key.startswith("org.opencontainers.image.")}
    image = build(
        base_config,
        below,
        layers,
        _settings(settings, parts, base_config, labels),
        created=created,
        annotations={**annotations, "org.opencontainers.image.created": created},
    )
    if parts.push is not None:
        parts.push.begin(image.config, "config")
    return image


def _told_layer(  # noqa: PLR0917 - a step of `assemble`
    recipe: Recipe, cache: LayerCache, mtime_s: int, remote: Earlier, push: Push | None, progress: Progress
) -> Layer:
    """The recipe's layer; says whether it was made or known. One that was made begins to be pushed."""
    since, name = time.monotonic(), f"layer {recipe.title}"
    is_known = not is_new(recipe, cache, mtime_s=mtime_s, remote=remote.layers)
    if not is_known:
        progress(ProgressEvent(name, "started"))
    layer = layer_of(recipe, cache, mtime_s=mtime_s, remote=remote.layers)
    size, took_s = layer.descriptor.size_bytes, time.monotonic() - since
    if is_known:
        progress(ProgressEvent(name, "cached", total_bytes=size))
    else:
        progress(ProgressEvent(name, "done", "made", size, size, took_s))
        if push is not None:
            push.begin(layer.content, layer.title)
    return layer


def _told_model(  # noqa: PLR0917 - a step of `assemble`
    files: Mapping[str, Path],
    name: str,
    cache: LayerCache,
    mtime_s: int,
    remote: Earlier,
    models: int,
    progress: Progress,
) -> ModelLayers:
    """The model's layers; large files are read once, for their digests, and again to be compressed where that pays."""
    from fnpack.oci.model_layers import MOST_LAYERS, model_layers

    since = time.monotonic()
    progress(ProgressEvent(name, "started"))
    found = model_layers(
        files, name, cache, mtime_s=mtime_s, remote=remote.layers, most=MOST_LAYERS // models
    )
    size = sum(layer.descriptor.size_bytes for layer in found.layers)
    progress(ProgressEvent(name, "done", "", size, size, time.monotonic() - since))
    return found


def _settings(
    settings: BuildSettings, parts: Parts, base_config: Mapping[str, object], labels: dict[str, str]
) -> ImageSettings:
    if settings.host == "azure-functions":
        return function_app.azure_settings(labels)
    if parts.conda_python is None:
        return function_app.fnpack_settings(labels)
    run = base_config.get("config")
    env = run.get("Env") if isinstance(run, dict) else None
    path = next((one[5:] for one in env or [] if one.startswith("PATH=")), "/usr/local/bin:/usr/bin:/bin")
    return function_app.fnpack_settings(
        labels, parts.conda_python, f"{Path(parts.conda_python).parent}:{path}"
    )


def source_date_s() -> int:
    """SOURCE_DATE_EPOCH, the time that all files and the image carry (reproducible-builds.org); 0 without it."""
    text = os.environ.get("SOURCE_DATE_EPOCH", "").strip()
    return int(text) if text.isdecimal() else 0
