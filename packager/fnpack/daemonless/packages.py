"""What is installed into an image: conda, the app's packages and the host's, as recipes of layers."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fnpack.build import step
from fnpack.cache_pruning import used
from fnpack.config.build import BuildSettings
from fnpack.daemonless.earlier import Earlier
from fnpack.oci import function_app
from fnpack.oci.recipes import Recipe
from fnpack.progress import Progress

if TYPE_CHECKING:
    from fnpack.app.functions import Function
    from fnpack.dependencies.conda.environment import CondaEnvironment
    from fnpack.dependencies.lock import Requirements
    from fnpack.dependencies.provide import Dependencies
    from fnpack.dependencies.resolver import Answers
    from fnpack.dependencies.target import Target
    from fnpack.dependencies.wheels import WheelFile


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
        environment.conda, [target], project=project_of(settings), mode=settings.lock_mode, progress=progress
    )


def resolved(
    settings: BuildSettings,
    target: Target,
    conda: CondaEnvironment | None,
    answers: Answers,
    progress: Progress,
) -> Dependencies | None:
    """pip's packages, locked; None where there are none. `answers` is what uv said before. Raises DependencyError."""
    environment = settings.app.environment
    if environment.user_managed or not environment.requirements:
        return None
    from fnpack.dependencies.provide import resolve

    asked = asked_of(settings)
    if conda is not None:
        asked = conda.beside(asked)
    return step(
        progress,
        f"resolve {len(asked.lines)} requirements for Python {target.python_version} on {target.platform}",
        lambda: resolve(
            asked,
            [target],
            project=project_of(settings),
            mode=settings.lock_mode,
            progress=progress,
            answers=answers,
        ),
        is_cached=lambda found: not found.lock.is_new,
    )


def asked_of(settings: BuildSettings) -> Requirements:
    """What the environment asks for of pip's packages."""
    from fnpack.dependencies.lock import Requirements

    environment = settings.app.environment
    return Requirements(environment.requirements, environment.requirements_source, environment.constraints)


def project_of(settings: BuildSettings) -> Path:
    """The folder that the lock is kept in."""
    return settings.project or settings.app.entry_script.parent


def host_layers(
    settings: BuildSettings,
    functions: Sequence[Function],
    target: Target,
    remote: Earlier,
    progress: Progress,
) -> list[Recipe]:
    """fnpack's host with the packages that the app's triggers need."""
    from fnpack.image.host_lock import host_dependencies, host_lock, host_wheels

    name = host_lock(functions, identity=settings.identity)
    found = host_dependencies(name, [target], progress)
    chosen = host_wheels(name, found, target)
    recipes = _layers_of(found, chosen, target, function_app.HOST_FOLDER, remote, progress, is_slim=True)
    return [*recipes, function_app.host_recipe(target.python_version, remote.cache.folder / "digests")]


def package_layers(
    found: Dependencies, target: Target, site: str, remote: Earlier, progress: Progress
) -> list[Recipe]:
    """The app's packages, below `site`."""
    from fnpack.dependencies.provide import wheels

    selected = found.selected[target]
    if all(one.wheel for one in selected):
        chosen = tuple(one.wheel for one in selected if one.wheel)
    else:  # one is built from source: its hash is known when that is done
        chosen = wheels(found, target, progress)
    return _layers_of(found, chosen, target, site, remote, progress)


def _layers_of(  # noqa: PLR0917 - called twice, with the same names
    found: Dependencies,
    chosen: Sequence[WheelFile],
    target: Target,
    site: str,
    remote: Earlier,
    progress: Progress,
    *,
    is_slim: bool = False,
) -> list[Recipe]:
    """The layers of `chosen`; a wheel is fetched when a layer has to be made of it."""
    from fnpack.dependencies.provide import wheels
    from fnpack.oci.wheel_layers import wheel_recipes

    sizes = {one.name: one.size_bytes for one in found.selected[target]}

    def fetch(some: Sequence[WheelFile]) -> None:
        wheels(found, target, progress, only=[one.name for one in some])

    def size(wheel: WheelFile) -> int:
        return sizes.get(wheel.name) or (wheel.path.stat().st_size if wheel.path.is_file() else 0)

    for wheel in chosen:  # also where their layers are known, so that all can be made anew without a network
        used(wheel.path)
    key = hashlib.sha256(" ".join(sorted(one.sha256 for one in chosen)).encode()).hexdigest()
    lost = remote.overwritten(key)
    if lost is None:
        from fnpack.oci.installed import overwritten

        fetch(chosen)
        lost = overwritten(chosen)
        remote.note_overwritten(key, lost)
    return list(
        wheel_recipes(
            chosen, site, target.python_version, sizes=size, is_slim=is_slim, skipped=lost, fetch=fetch
        )
    )
