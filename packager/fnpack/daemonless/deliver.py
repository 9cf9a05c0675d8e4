"""Where an image goes: a registry, an OCI layout, an archive for `docker load`, the Docker Engine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from fnpack.build import default_tag, step
from fnpack.config.build import BuildSettings
from fnpack.oci.plan import Image
from fnpack.progress import Progress
from fnpack.registry.settings import RegistrySettings

if TYPE_CHECKING:
    from fnpack.daemonless.parts import Parts
    from fnpack.registry import Registries

Output = Literal["registry", "oci-layout", "docker-archive", "engine"]


@dataclass(frozen=True, slots=True)
class Destination:
    """Where an image goes. `path` is the folder or file of a layout or an archive."""

    kind: Output
    path: Path | None = None


def destination_of(settings: BuildSettings) -> Destination:
    """Where the settings want the image; where they say nothing, the Docker Engine if one answers, else a layout."""
    kind, _, place = (settings.output or "").partition(":")
    if settings.push:
        return Destination("registry")
    if not kind:
        from fnpack.oci.local_engine import LocalEngine

        kind = "engine" if LocalEngine.connect() else "oci-layout"
    name = default_tag(settings).partition("/")[2].partition(":")[0]
    match kind:
        case "engine":
            return Destination("engine")
        case "docker-archive":
            return Destination("docker-archive", Path(place or f"{name}.tar"))
        case _:
            return Destination("oci-layout", Path(place or f"{name}.oci"))


@contextmanager
def registries_for(settings: BuildSettings, tag: str) -> Iterator[Registries]:
    """The registries of a build: the base image's and the one that is pushed to."""
    from fnpack.registry import Reference, Registries

    login = settings.app.environment.base_image_registry
    registries = Registries(
        RegistrySettings.discover(
            insecure=settings.insecure_registries,
            logins=(login,) if login is not None else (),
            target=Reference.parse(tag).registry if settings.push else None,
        )
    )
    try:
        yield registries
    finally:
        registries.close()


def deliver(  # noqa: PLR0917 - the last step of a build, called once
    images: Sequence[Image],
    parts: Sequence[Parts],
    destination: Destination,
    tag: str,
    registries: Registries,
    progress: Progress,
) -> str:
    """Put the images where they shall be; returns what names them there."""
    match destination.kind:
        case "registry":
            return step(progress, f"push {tag}", lambda: _push(images, parts, tag, registries, progress))
        case "oci-layout":
            path = destination.path or Path("image")
            digest = step(progress, f"write {path}", lambda: _layout(images, path, tag))
            return f"oci-layout:{path}@{digest}"
        case "docker-archive":
            from fnpack.oci.output.archive import write_archive

            path = destination.path or Path("image.tar")
            step(progress, f"write {path}", lambda: write_archive(images, path, tag=tag, for_docker=True))
            return f"docker-archive:{path}"
        case "engine":
            return _load(images[0], parts[0].base.reference, tag, progress)


def _load(image: Image, base: str, tag: str, progress: Progress) -> str:
    from fnpack.oci.local_engine import LocalEngine
    from fnpack.oci.output.engine import SdkEngine, load

    local = LocalEngine.connect()
    if local is not None:
        return load(local, image, tag, related=[base], progress=progress)
    from fnpack.engine import Engine  # elsewhere, or not to be reached: it says why

    with Engine.connect() as engine:
        return load(SdkEngine(engine.client.api), image, tag, related=[base], progress=progress)


def _layout(images: Sequence[Image], path: Path, tag: str) -> str:
    from fnpack.oci.output.archive import write_archive
    from fnpack.oci.output.layout import write_layout

    write = write_archive if path.suffix == ".tar" else write_layout
    return write(images, path, tag=tag)


def _push(
    images: Sequence[Image],
    parts: Sequence[Parts],
    tag: str,
    registries: Registries,
    progress: Progress,
) -> str:
    from fnpack.oci.plan import index_of
    from fnpack.registry import Reference, push_image, push_index

    target = Reference.parse(tag)
    if len(images) == 1:
        image = images[0]
        result = push_image(
            target, manifest=image.manifest, config=image.config, layers=image.layers, registries=registries,
            base=parts[0].base.registry, progress=progress,
        )  # fmt: skip
        return f"{target.name}@{result.digest}"
    for image, part in zip(images, parts, strict=True):
        push_image(
            target.at(image.digest), manifest=image.manifest, config=image.config, layers=image.layers,
            registries=registries, base=part.base.registry, progress=progress,
        )  # fmt: skip
    index = push_index(target, index_of(images), registries=registries, progress=progress)
    return f"{target.name}@{index.digest}"
