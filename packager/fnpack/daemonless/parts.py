"""What the layers of one platform's image are made from, and the image that they make."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from fnpack.app.directory import FunctionApp, write_app
from fnpack.build import step
from fnpack.daemonless.base import Base, base_for, python_of
from fnpack.daemonless.context import Context
from fnpack.daemonless.packages import conda_of, host_layers, package_layers, resolved
from fnpack.oci.app import app_labels, app_recipe, model_recipes, path_file_recipe
from fnpack.oci.assemble import assemble
from fnpack.oci.base.python import search_path
from fnpack.oci.clashes import Clashes
from fnpack.oci.config import source_date_epoch, utc
from fnpack.oci.place import Place
from fnpack.oci.plan import Image, ImagePlan, clashes_note
from fnpack.oci.pythons import find_interpreter
from fnpack.oci.recipe import Recipe
from fnpack.oci.runtime import SITE_PACKAGES, Runtime, runtime
from fnpack.progress import ProgressEvent

if TYPE_CHECKING:
    from fnpack.dependencies.conda.prefix import CondaPrefix
    from fnpack.dependencies.target import Target
    from fnpack.image.dockerfile import Host
    from fnpack.oci.pythons import Interpreter


@dataclass(frozen=True, slots=True)
class Parts:
    """What layers are made from, for one platform."""

    base: Base
    target: Target
    app: FunctionApp
    recipes: tuple[Recipe, ...]
    clashes: tuple[Clashes, ...]
    conda: CondaPrefix | None = None


def parts_of(context: Context, platform: str, folder: Path) -> Parts:
    """Find and write all that the image of one platform is made from; `folder` is for the app directory."""
    from fnpack.dependencies.target import Target

    settings, progress = context.settings, context.progress
    base = base_for(context, platform)
    python_version = python_of(settings, base)
    glibc = base.python.libc_version if base.python.libc == "glibc" else None
    target = Target(platform, python_version, libc_version=glibc)
    conda = conda_of(settings, target, progress)
    if conda is not None:
        (target,) = conda.targets
    found = resolved(settings, target, conda, progress)
    app = write_app(
        settings.app,
        folder / platform.replace("/", "-"),
        lock_text=found.requirements_txt if found else "",
        place=lambda source, place: None,  # models are read from where they are
    )
    compiler = _compiler(context, target)
    recipes: list[Recipe] = []
    clashes: list[Clashes] = []
    if settings.host == "fnpack":
        host = host_layers(context, app.path, target, compiler)
        recipes += host.recipes
        clashes.append(host.clashes)
    place = Place(SITE_PACKAGES, base.python.program)
    prefix = conda.prefixes[target] if conda is not None else None
    if prefix is not None:
        from fnpack.oci.tree import TreeRecipe

        title = f"conda environment of {len(prefix.packages)} packages"
        recipes.append(TreeRecipe(title, prefix.path, prefix.prefix, prefix.digest))
        place = Place(prefix.site_packages, prefix.python)
    if found is not None:
        packages = package_layers(context, found, target, place, compiler)
        recipes += packages.recipes
        clashes.append(packages.clashes)
        if settings.host == "azure-functions" and packages.clashes.path_files and base.python.site:
            recipes.append(path_file_recipe(base.python.site))
    recipes += (*model_recipes(settings.app.models), app_recipe(app.path))
    return Parts(base, target, app, tuple(recipes), tuple(clashes), prefix)


def _compiler(context: Context, target: Target) -> Interpreter | None:
    found = find_interpreter(target.python_version, context.cache)
    if found is None:
        detail = f"no Python {target.python_version} is on this machine, so the image will start more slowly"
        context.progress(ProgressEvent("compile modules", "done", detail))
    return found


def image_of(context: Context, parts: Parts) -> Image:
    """Make the layers that are not known yet, and the image."""
    settings = context.settings
    labels = {
        **app_labels(parts.app.path, parts.base.image.name, settings.app.models, context.cache),
        "org.opencontainers.image.base.digest": parts.base.image.digest,
    }
    epoch_s = source_date_epoch(os.environ)
    annotations = {key: value for key, value in labels.items() if key.startswith("org.opencontainers.image.")}
    annotations["org.opencontainers.image.created"] = utc(epoch_s)
    plan = ImagePlan(
        parts.base.image,
        parts.recipes,
        _runtime(context, parts, labels),
        annotations | clashes_note(*parts.clashes),
        epoch_s,
    )
    return step(
        context.progress,
        f"{len(plan.recipes)} layers for {parts.target.platform}",
        lambda: assemble(plan, context.cache, known=context.known, progress=context.progress),
    )


def _runtime(context: Context, parts: Parts, labels: Mapping[str, str]) -> Runtime:
    host: Host = "azure-functions" if context.settings.host == "azure-functions" else "fnpack"
    if parts.conda is None:
        return runtime(host, labels)
    found = runtime(host, labels, parts.conda.python)
    path = [str(Path(parts.conda.python).parent), *search_path(parts.base.image)]
    own = {"PATH": ":".join(path), "CONDA_PREFIX": parts.conda.prefix}
    return replace(found, variables={**found.variables, **own})
