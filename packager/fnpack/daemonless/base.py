"""The base image of a build: found, looked into, and checked against what is asked for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from fnpack.build import BaseImageUnfit, step, wanted_python
from fnpack.config.build import PYTHON_VERSIONS, BuildSettings
from fnpack.daemonless.context import Context
from fnpack.oci.base import Base as OciBase
from fnpack.oci.base import base_of
from fnpack.oci.base.files import file_base
from fnpack.oci.base.python import BasePython, find_python

if TYPE_CHECKING:
    from fnpack.image.dockerfile import Host
    from fnpack.registry import RegistryBase


@dataclass(frozen=True, slots=True)
class Base:
    """A base image and what is in it. `registry` is set where it is in one."""

    image: OciBase
    python: BasePython
    reference: str  # as it was asked for; the image's own name tells no folder of this machine
    registry: RegistryBase | None = None


def base_for(context: Context, platform: str) -> Base:
    """The base image that the settings name, or the default one. Raises what its place raises."""
    from fnpack.image.dockerfile import default_base_image

    settings = context.settings
    host: Host = "azure-functions" if settings.host == "azure-functions" else "fnpack"
    reference = settings.base_image or default_base_image(host, wanted_python(settings))

    def opened() -> Base:
        image, registry = _opened(context, reference, platform)
        return Base(image, find_python(image, context.cache), reference, registry)

    return step(context.progress, f"base image {reference}", opened)


def _opened(context: Context, reference: str, platform: str) -> tuple[OciBase, RegistryBase | None]:
    scheme, _, place = reference.partition(":")
    if scheme in ("oci-layout", "docker-archive"):
        return file_base(Path(place), platform), None
    from fnpack.oci.local_engine import engine_archive
    from fnpack.registry import Reference, RegistryBase

    archive = engine_archive(reference, context.cache.folder / "bases", context.progress)
    if archive is not None:
        return replace(file_base(archive, platform), name=reference), None
    registry = RegistryBase(Reference.parse(reference), context.registries, platform)
    return base_of(registry, reference), registry


def python_of(settings: BuildSettings, base: Base) -> str:
    """The base image's Python; it is the one that counts, unless a conda environment brings its own."""
    if settings.app.environment.conda is not None and not settings.app.environment.user_managed:
        return wanted_python(settings)
    found, asked = base.python.version, settings.python_version
    allowed = PYTHON_VERSIONS[settings.host]
    if found is None:
        raise BaseImageUnfit(
            f"the base image {base.reference} has no Python on its PATH",
            hint="choose a base image with Python 3, such as python:3.12-slim",
        )
    if asked and asked != found:
        raise BaseImageUnfit(
            f"the base image {base.reference} has Python {found}, but {asked} is asked for",
            hint=f"choose another --base-image, or --python-version {found}",
        )
    if found not in allowed:
        raise BaseImageUnfit(
            f"the base image {base.reference} has Python {found}, which the host `{settings.host}` does not run",
            hint=f"choose a base image with Python {', '.join(allowed)}",
        )
    if base.python.libc == "musl":
        raise BaseImageUnfit(
            f"the base image {base.reference} is built on musl, for which most packages have no wheels",
            hint="choose a Debian-like base, such as the `-slim` images of Python",
        )
    return found
