"""Writes images as one tar: an OCI layout, which for one image is an archive for `docker load` as well."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from fnpack.oci import tar
from fnpack.oci.content import BytesContent, Content
from fnpack.oci.errors import OutputUnwritable, PlanInvalid
from fnpack.oci.output.copying import verified
from fnpack.oci.output.layout import LAYOUT, described, index_json
from fnpack.oci.plan import Image, json_bytes
from fnpack.progress import Progress, ProgressEvent, ignore


def write_archive(
    images: Sequence[Image], path: Path, *, tag: str, for_docker: bool = False, progress: Progress = ignore
) -> str:
    """Write an OCI layout as a tar, or with `for_docker` one that `docker load` takes too. Returns the digest.

    `docker load` takes one image. Raises OutputUnwritable, PlanInvalid, LayerLost; the file is whole or not there.
    """
    if for_docker and len(images) != 1:
        raise PlanInvalid(
            f"an archive for `docker load` holds one image, not {len(images)}",
            hint="choose one --platform, or the output oci-layout",
        )
    part = path.with_name(f".{path.name}.{os.urandom(8).hex()}")
    try:
        with part.open("xb") as file:
            for block in archive_blocks(images, tag, for_docker=for_docker, progress=progress):
                file.write(block)
        part.replace(path)
    except OSError as exc:
        raise OutputUnwritable(
            f"the image cannot be written to {path}: {exc.strerror or exc}",
            hint="check free space and permissions, or choose another place",
        ) from exc
    finally:
        with suppress(OSError):
            part.unlink()
    return str(described(images, tag)[1]["digest"])


def archive_blocks(
    images: Sequence[Image],
    tag: str,
    *,
    for_docker: bool,
    progress: Progress = ignore,
) -> Iterator[bytes]:
    """The tar, a block at a time."""
    contents, entry = described(images, tag)
    for folder in ("blobs", "blobs/sha256"):
        yield tar.header(folder, kind=tar.FOLDER, mode=0o755)
    for content, title in sorted(contents, key=lambda one: one[0].descriptor.digest):
        yield from _file(_place(content), content)
        progress(ProgressEvent(f"write {title}", "done", content.descriptor.digest))
    files = [("index.json", index_json([entry])), ("oci-layout", LAYOUT)]
    if for_docker:
        files.append(("manifest.json", _docker_manifest(images[0], tag)))
    for name, data in sorted(files):
        yield from _file(name, BytesContent.of(data, "application/json"))
    yield tar.END


def docker_blocks(image: Image, tag: str, without: Collection[str]) -> Iterator[bytes]:
    """What an Engine needs to load the image if it has the layers `without` (by diff id): no more than that."""
    config = image.config
    yield from _file(_place(config), config)
    for layer in image.layers:
        if layer.diff_id not in without:
            yield from _file(_layer_name(layer.diff_id), layer.content)
    names = [_layer_name(layer.diff_id) for layer in image.layers]
    manifest = json_bytes([{"Config": _place(config), "RepoTags": [tag], "Layers": names}])
    yield from _file("manifest.json", BytesContent.of(manifest, "application/json"))
    yield tar.END


def _layer_name(diff_id: str) -> str:
    return f"layers/{diff_id.removeprefix('sha256:')}.tar"


def _docker_manifest(image: Image, tag: str) -> bytes:
    layers = [_place(layer.content) for layer in image.layers]
    return json_bytes([{"Config": _place(image.config), "RepoTags": [tag], "Layers": layers}])


def _place(content: Content) -> str:
    return f"blobs/sha256/{content.descriptor.digest.removeprefix('sha256:')}"


def _file(name: str, content: Content) -> Iterator[bytes]:
    size = content.descriptor.size_bytes
    yield tar.header(name, size_bytes=size)
    yield from verified(content)
    yield tar.padding(size)
