"""Where an image goes: a registry, an OCI layout, an archive for `docker load`, the Docker Engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from fnpack.build import default_tag, step
from fnpack.config.build import BuildSettings
from fnpack.oci.artifacts import CYCLONEDX, SBOM_ANNOTATIONS
from fnpack.oci.image import Image
from fnpack.parallel import beside
from fnpack.progress import Progress, ProgressEvent, in_phase
from fnpack.registry.settings import RegistrySettings

if TYPE_CHECKING:
    from fnpack.check import Check
    from fnpack.daemonless.parts import Parts
    from fnpack.registry import Reference, Registries

Output = Literal["registry", "oci-layout", "docker-archive", "engine"]


class Destination(NamedTuple):
    """Where an image goes. `path` is the folder or file of a layout or an archive.

    `is_pushed` says whether the Engine pushes the image that it got.
    """

    kind: Output
    path: Path | None = None
    is_pushed: bool = False


def destination_of(settings: BuildSettings) -> Destination:
    """Where the settings want the image; where they say nothing, the Docker Engine if one answers, else a layout."""
    kind, _, place = (settings.output or "").partition(":")
    if settings.builder == "docker":
        return Destination("engine", is_pushed=settings.push)
    if settings.push:
        return Destination("registry")
    if not kind:
        from fnpack.oci.local_engine import answers

        kind = "engine" if answers() else "oci-layout"
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

    registries = Registries(
        RegistrySettings.discover(
            insecure=settings.insecure_registries,
            logins=settings.logins,
            target=Reference.parse(tag).registry if settings.push else None,
        )
    )
    try:
        yield registries
    finally:
        registries.close()


def begin_pushes(  # noqa: PLR0917 - called once
    parts: Sequence[Parts],
    destination: Destination,
    tag: str,
    registries: Registries,
    progress: Progress,
    check: Check,
) -> None:
    """Where the images go to a registry, let each of their layers go there as soon as it is made."""
    if destination.kind != "registry":
        return
    from fnpack.registry import Push, Reference

    def told(event: ProgressEvent) -> None:
        check.stop_if_failed()  # in the midst of a long push, too
        progress(event._replace(phase="push"))

    for part in parts:
        part.push = Push(Reference.parse(tag), registries, part.base.registry, told)


def deliver(  # noqa: PLR0917 - the last step of a build, called once
    images: Sequence[Image],
    parts: Sequence[Parts],
    destination: Destination,
    tag: str,
    registries: Registries,
    progress: Progress,
    check: Check,
) -> str:
    """Put the images where they shall be, once `check` has passed; returns what names them there.

    Blobs go to a registry meanwhile: without a manifest nobody sees them.
    """
    if destination.kind != "registry":
        check.wait()
    check.stop_if_failed()
    with in_phase(progress, "push" if destination.kind == "registry" else "write") as told:
        return _delivered(images, parts, destination, tag, registries, told, check)


def _delivered(  # noqa: PLR0917 - as above
    images: Sequence[Image],
    parts: Sequence[Parts],
    destination: Destination,
    tag: str,
    registries: Registries,
    progress: Progress,
    check: Check,
) -> str:
    if destination.kind != "registry":
        from fnpack.daemonless.told_layers import told_image

        images = [told_image(image, progress) for image in images]
    match destination.kind:
        case "registry":
            return _push(images, parts, tag, registries, progress, check)
        case "oci-layout":
            from fnpack.oci.outputs import write_layout, write_layout_archive

            path = destination.path or Path("image")
            write = write_layout_archive if path.suffix == ".tar" else write_layout
            top = step(progress, f"write {path}", lambda: write(images, path, tag))
            return f"oci-layout:{path}@{top.descriptor.digest}"
        case "docker-archive":
            from fnpack.oci.outputs import write_archive

            path = destination.path or Path("image.tar")
            step(progress, f"write {path}", lambda: write_archive(images[0], path, tag))
            return f"docker-archive:{path}"
        case "engine":
            from fnpack.daemonless.through_engine import load, push
            from fnpack.engine import Engine

            with Engine.connect() as engine:
                image_id = load(engine, images[0], parts[0], tag, progress, check)
                return push(engine, tag, check.settings, progress) if destination.is_pushed else image_id


def _push(  # noqa: PLR0917 - as above
    images: Sequence[Image],
    parts: Sequence[Parts],
    tag: str,
    registries: Registries,
    progress: Progress,
    check: Check,
) -> str:
    from fnpack.oci.image import index_of
    from fnpack.registry import Reference, push_index

    target = Reference.parse(tag)
    for image, part in zip(images, parts, strict=True):
        _push_image(image, part, target, registries, progress, check.wait, is_alone=len(images) == 1)
    if len(images) == 1:
        return f"{target.name}@{images[0].digest}"
    index = push_index(target, index_of(images, {}), registries=registries, progress=progress)
    return f"{target.name}@{index.digest}"


def _push_image(  # noqa: PLR0917 - as above
    image: Image,
    part: Parts,
    target: Reference,
    registries: Registries,
    progress: Progress,
    ready: Callable[[], None],
    *,
    is_alone: bool,
) -> None:
    """Push an image, and its SBOM at the same time; one that is not alone gets no tag."""
    from fnpack.registry import RegistryError

    assert part.push is not None
    attached = beside(lambda: _attach_sbom(image, target, registries, progress, ready))
    part.push.image(image.manifest, image.config, image.layers, by_digest=not is_alone, ready=ready)
    try:
        attached()
    except RegistryError:  # it may want the image to be there first
        _attach_sbom(image, target, registries, progress, ready)


def _attach_sbom(
    image: Image, target: Reference, registries: Registries, progress: Progress, ready: Callable[[], None]
) -> None:
    if image.sbom is None:
        return
    from fnpack.registry.referrers import attach

    described, sbom = image.manifest.descriptor, image.sbom
    step(
        progress,
        "attach SBOM",
        lambda: attach(
            target,
            described,
            sbom,
            CYCLONEDX,
            registries=registries,
            annotations=SBOM_ANNOTATIONS,
            ready=ready,
        ),
        is_cached=lambda result: not result.sent_bytes,
    )
