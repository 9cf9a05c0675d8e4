"""The base image of a build: found, looked into, and checked against what is asked for."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from fnpack.build import BaseImageUnfit, fitting_python, step, wanted_python
from fnpack.cache_folder import cache_folder
from fnpack.config.build import LOCAL_BASES, BuildSettings
from fnpack.oci.base_python import BasePython, base_python
from fnpack.oci.bases import ArchiveBase, BaseSource, LayoutBase
from fnpack.progress import Progress

if TYPE_CHECKING:
    from fnpack.image.dockerfile import Host
    from fnpack.registry import Registries, RegistryBase


class Base(NamedTuple):
    """A base image and what is in it. `reference` is how it is named; `registry` is set where it is in one.

    `digest` is its manifest's; an archive has none, there it is the image's id.
    """

    source: BaseSource
    python: BasePython
    reference: str
    digest: str
    registry: RegistryBase | None = None

    @property
    def name(self) -> str:
        """How the image tells of its base: a folder or file without the way to it, which is this machine's alone."""
        scheme, _, place = self.reference.partition(":")
        return f"{scheme}:{Path(place).name}" if f"{scheme}:" in LOCAL_BASES else self.reference


def base_for(
    settings: BuildSettings,
    platform: str,
    registries: Registries,
    progress: Progress,
    meanwhile: Callable[[], None] = lambda: None,
) -> Base:
    """The base image that the settings name, or the default one. Raises BaseImageUnfit, and what its place raises.

    `meanwhile` is called before an image is looked through that is not known yet.
    """
    reference = settings.base_image or _default(settings)
    is_engines = settings.builder == "docker"

    def opened() -> Base:
        if is_engines and not reference.startswith(LOCAL_BASES):
            from fnpack.daemonless.through_engine import pull_base

            pull_base(reference, platform, settings, progress)
        return _opened_base(reference, platform, registries, progress, meanwhile, is_engines=is_engines)

    return step(progress, f"base image {reference}", opened)


def _default(settings: BuildSettings) -> str:
    from fnpack.image.dockerfile import default_base_image

    host: Host = "azure-functions" if settings.host == "azure-functions" else "fnpack"
    return default_base_image(host, wanted_python(settings))


def _opened_base(
    reference: str,
    platform: str,
    registries: Registries,
    progress: Progress,
    meanwhile: Callable[[], None],
    *,
    is_engines: bool,
) -> Base:
    scheme, _, place = reference.partition(":")
    notes = cache_folder()
    if scheme == "oci-layout":
        source: BaseSource = LayoutBase(Path(place), platform)
    elif scheme == "docker-archive":
        source = ArchiveBase(Path(place))
    else:
        from fnpack.oci.local_engine import engine_archive
        from fnpack.registry import Reference, RegistryBase

        archive = engine_archive(reference, cache_folder() / "bases", progress, any_name=is_engines)
        if archive is None:
            registry = RegistryBase(Reference.parse(reference), registries, platform)
            python = base_python(registry, notes, meanwhile)
            return Base(registry, python, reference, registry.manifest().descriptor.digest, registry)
        source = ArchiveBase(archive)
    config = source.config()
    _check_platform(reference, json.loads(config.data), platform)
    digest = source.digest if isinstance(source, LayoutBase) else config.descriptor.digest
    return Base(source, base_python(source, notes, meanwhile), reference, digest)


def _check_platform(reference: str, config: Mapping[str, object], platform: str) -> None:
    found = f"{config.get('os')}/{config.get('architecture')}"
    if found != platform and not platform.startswith(f"{found}/"):
        raise BaseImageUnfit(
            f"the base image {reference} is for {found}, not for {platform}",
            hint=f"choose another --base-image, or --platform {found}",
        )


def python_of(settings: BuildSettings, base: Base) -> str:
    """The base image's Python; it is the one that counts, unless a conda environment brings its own."""
    if settings.app.environment.conda is not None and not settings.app.environment.user_managed:
        return wanted_python(settings)
    found = base.python.python_version
    if found is None:
        raise BaseImageUnfit(
            f"the base image {base.reference} has no Python in /usr/local/bin or /usr/bin",
            hint="choose a base image with Python 3, such as python:3.12-slim",
        )
    return fitting_python(settings, base.reference, found, base.python.libc)
