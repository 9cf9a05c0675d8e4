"""What is installed into an image: conda, the app's packages and the host's, as recipes of layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fnpack.build import step
from fnpack.config.build import BuildSettings
from fnpack.daemonless.context import Context
from fnpack.oci.recipe import Recipe
from fnpack.progress import Progress, ProgressEvent

if TYPE_CHECKING:
    from fnpack.dependencies.conda.environment import CondaEnvironment
    from fnpack.dependencies.provide import Dependencies
    from fnpack.dependencies.target import Target
    from fnpack.dependencies.wheels import WheelFile
    from fnpack.oci.clashes import Clashes
    from fnpack.oci.place import Place
    from fnpack.oci.pythons import Interpreter


@dataclass(frozen=True, slots=True)
class Packages:
    """Layers of packages, and the files that more than one package brings."""

    recipes: tuple[Recipe, ...]
    clashes: Clashes


def conda_of(settings: BuildSettings, target: Target, progress: Progress) -> CondaEnvironment | None:
    """The environment of a conda section that needs conda. Raises DependencyError in its many kinds."""
    environment = settings.app.environment
    if environment.conda is None or environment.user_managed:
        return None
    from fnpack.dependencies.conda.environment import conda_environment
    from fnpack.dependencies.conda.errors import CondaNotPossible

    if settings.host != "fnpack":
        raise CondaNotPossible(
            f"{environment.requirements_source}: Microsoft's base image runs its own Python, not conda's",
            hint="use --host fnpack, or name the packages in the list of pip",
        )
    return conda_environment(
        environment.conda, [target], project=_project(settings), mode=settings.lock_mode, progress=progress
    )


def resolved(
    settings: BuildSettings, target: Target, conda: CondaEnvironment | None, progress: Progress
) -> Dependencies | None:
    """pip's packages, locked; None where there are none. Raises DependencyError."""
    environment = settings.app.environment
    if environment.user_managed or not environment.requirements:
        return None
    from fnpack.dependencies.lock import Requirements
    from fnpack.dependencies.provide import resolve

    asked = Requirements(environment.requirements, environment.requirements_source, environment.constraints)
    if conda is not None:
        asked = conda.beside(asked)
    return step(
        progress,
        f"resolve {len(asked.lines)} requirements for Python {target.python_version} on {target.platform}",
        lambda: resolve(
            asked, [target], project=_project(settings), mode=settings.lock_mode, progress=progress
        ),
        is_cached=lambda found: not found.lock.is_new,
    )


def _project(settings: BuildSettings) -> Path:
    return settings.project or settings.app.entry_script.parent


def host_layers(context: Context, app: Path, target: Target, compiler: Interpreter | None) -> Packages:
    """fnpack's host with the packages that the app's triggers need."""
    from fnpack.image.context import host_lock
    from fnpack.image.host_lock import host_dependencies, host_wheels
    from fnpack.oci.host import PLACE, HostRecipe

    name = "host-identity.txt" if context.settings.identity else host_lock(app)
    found = host_dependencies(name, [target], context.progress)
    packages = _layers_of(context, found, host_wheels(name, found, target), target, PLACE, compiler)
    return Packages((*packages.recipes, HostRecipe.installed(compiler)), packages.clashes)


def package_layers(
    context: Context, found: Dependencies, target: Target, place: Place, compiler: Interpreter | None
) -> Packages:
    """The app's packages."""
    from fnpack.dependencies.provide import wheels

    selected = found.selected[target]
    if all(one.wheel for one in selected):
        chosen = tuple(one.wheel for one in selected if one.wheel)
    else:  # one is built from source: its hash is known when that is done
        chosen = wheels(found, target, context.progress)
    packages = _layers_of(context, found, chosen, target, place, compiler)
    _tell_of(packages.clashes, context)
    return packages


def _layers_of(  # noqa: PLR0917 - called twice, with the same names
    context: Context,
    found: Dependencies,
    chosen: Sequence[WheelFile],
    target: Target,
    place: Place,
    compiler: Interpreter | None,
) -> Packages:
    """The layers of `chosen`; a wheel is fetched when a layer has to be made of it."""
    from fnpack.dependencies.provide import wheels
    from fnpack.oci.wheels import wheel_recipes

    sizes = {one.sha256: one.size_bytes for one in found.selected[target] if one.size_bytes is not None}
    recipes, clashes = wheel_recipes(
        chosen,
        place,
        context.cache,
        compiler=compiler,
        sizes=sizes,
        known_clashes=context.known.clashes,
        fetch=lambda names: wheels(found, target, context.progress, only=names),
    )
    return Packages(recipes, clashes)


def _tell_of(clashes: Clashes, context: Context) -> None:
    """Files that packages bring in different versions are worth a line: pip says nothing, and one of them is lost."""
    if not clashes.different:
        return
    path, winner, loser = clashes.different[0]
    more = f", and {len(clashes.different) - 1} more" if len(clashes.different) > 1 else ""
    context.progress(
        ProgressEvent("packages overwrite each other's files", "done", f"{path}: {winner} over {loser}{more}")
    )
