"""Gives images their SBOMs, where they are wanted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from fnpack.config.build import BuildSettings
from fnpack.daemonless.deliver import Destination
from fnpack.daemonless.parts import Parts, source_date_s
from fnpack.oci import function_app
from fnpack.oci.image import Image
from fnpack.oci.wheel_layers import WheelRecipe
from fnpack.provenance.contents import ImageContents, Package, Part

if TYPE_CHECKING:
    from fnpack.dependencies.conda.lockfile import CondaPackage

# Whether an image there gets an SBOM where nothing is said: podman and skopeo take an image from a layout without its
# name only if it is alone in there. Other outputs hold none.
_ATTACHED = {"registry": True, "oci-layout": False}


def with_sboms(
    settings: BuildSettings, images: Sequence[Image], parts: Sequence[Parts], destination: Destination
) -> list[Image]:
    """The images with the SBOMs that go with them."""
    by_default = _ATTACHED.get(destination.kind)
    if by_default is None or not (by_default if settings.attach_sbom is None else settings.attach_sbom):
        return list(images)
    from fnpack.provenance.sbom import sbom_of

    return [
        image._replace(sbom=sbom_of(contents_of(part))) for image, part in zip(images, parts, strict=True)
    ]


@contextmanager
def sbom_files(settings: BuildSettings, images: Sequence[Image], parts: Sequence[Parts]) -> Iterator[None]:
    """A file for each SBOM that is asked for. Raises OutputError.

    They are written at once, so that a full disk is told before an image goes anywhere, and get their names when the
    block has ended well: of an image that fails its check there is no SBOM.
    """
    with ExitStack() as files:
        if settings.sbom_file is not None:
            from fnpack.oci.whole_files import written_at_end
            from fnpack.provenance.sbom import sbom_of

            for image, part in zip(images, parts, strict=True):
                file = _file(settings.sbom_file, image.platform, alone=len(images) == 1)
                sbom = image.sbom or sbom_of(contents_of(part))
                files.enter_context(written_at_end(file, sbom.data, "--sbom"))
        yield


def contents_of(parts: Parts) -> ImageContents:
    """What is in the image of one platform."""
    base = parts.base
    return ImageContents(
        title=Path(parts.app.entry_script).stem,
        platform=parts.target.platform,
        python_version=parts.target.python_version,
        base_name=base.name,
        base_digest=base.digest,
        base_repository=base.registry.reference.name if base.registry is not None else "",
        packages=tuple(sorted(_packages(parts), key=lambda one: (one.part, one.kind, one.name))),
        models=tuple(parts.models),
        created_s=source_date_s(),
    )


def _packages(parts: Parts) -> Iterator[Package]:
    for recipe in parts.recipes:
        if isinstance(recipe, WheelRecipe):
            part: Part = "host" if recipe.site == function_app.HOST_FOLDER else "app"
            yield from (Package("pypi", part, one.name, one.version, one.sha256) for one in recipe.wheels)
    for package in parts.prefix.packages if parts.prefix is not None else ():
        yield _conda_package(package)


def _conda_package(package: CondaPackage) -> Package:
    """A channel is named without its address, which may be nobody else's business."""
    facts = {
        "build": package.build,
        "channel": package.channel.rstrip("/").rpartition("/")[2],
        "subdir": package.subdir,
        "type": "conda" if package.url.endswith(".conda") else "tar.bz2",
    }
    known = tuple((key, value) for key, value in facts.items() if value)
    return Package("conda", "app", package.name, package.version, package.sha256, known)


def _file(file: Path, platform: str, *, alone: bool) -> Path:
    """One name for each platform, where there are several: `sbom-linux-arm64.json`."""
    return file if alone else file.with_stem(f"{file.stem}-{platform.replace('/', '-')}")
