"""Places for an image on this machine: an OCI layout (folder or tar), a `docker load` archive, the Docker Engine."""

from __future__ import annotations

import json
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from fnpack.oci.artifacts import CYCLONEDX, EMPTY_CONFIG, SBOM_ANNOTATIONS, artifact_manifest
from fnpack.oci.content import INDEX, BytesContent, Content
from fnpack.oci.errors import OutputError
from fnpack.oci.image import Image, index_of
from fnpack.oci.whole_files import new_folder, partial

if TYPE_CHECKING:
    from docker.api.client import APIClient

_COPY_BYTES = 1 << 20
_LOAD_TIMEOUT_S = 600


def write_layout(images: Sequence[Image], folder: Path, tag: str | None = None) -> BytesContent:
    """Write an OCI layout to `folder`; several images become an index. Returns what a digest reference would name.

    An image's SBOM is a manifest beside it that refers to it.

    Blobs that are there already stay, so that a layout can be written again in no time. Raises OutputError.
    """
    top = images[0].manifest if len(images) == 1 else index_of(images, {})
    named = {"annotations": {"org.opencontainers.image.ref.name": tag}} if tag else {}
    entries: list[dict[str, object]] = [{**top.descriptor.to_json(), **named}]
    with _new_files(folder) as write:
        for image in images:
            for content in (*(layer.content for layer in image.layers), image.config, image.manifest):
                write(content)
        write(top)
        entries += [_write_sbom(write, image, image.sbom) for image in images if image.sbom is not None]
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}
        _write_text(folder / "index.json", json.dumps(index))
    return top


def _write_sbom(write: Callable[[Content], None], image: Image, sbom: BytesContent) -> dict[str, object]:
    """The SBOM's blobs; returns its entry in the index."""
    manifest = artifact_manifest(image.manifest.descriptor, sbom, CYCLONEDX, SBOM_ANNOTATIONS)
    for content in (sbom, EMPTY_CONFIG, manifest):
        write(content)
    return {**manifest.descriptor.to_json(), "artifactType": CYCLONEDX, "annotations": SBOM_ANNOTATIONS}


def write_layout_archive(images: Sequence[Image], file: Path, tag: str | None = None) -> BytesContent:
    """Write an OCI layout as one tar file. Raises OutputError."""
    with partial(file) as out, tempfile.TemporaryDirectory(dir=file.parent, prefix=".fnpack-") as folder:
        top = write_layout(images, Path(folder), tag)
        with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as archive:
            for path in sorted(Path(folder).rglob("*")):
                entry = archive.gettarinfo(path, path.relative_to(folder).as_posix())
                entry.mtime = entry.uid = entry.gid = 0
                entry.uname = entry.gname = ""
                if path.is_file():
                    with path.open("rb") as content:
                        archive.addfile(entry, content)
                else:
                    archive.addfile(entry)
        return top


def write_archive(image: Image, file: Path, tag: str) -> None:
    """Write a tar for `docker load`. Raises OutputError."""
    with partial(file) as out:
        for chunk in archive_chunks(image, tag):
            out.write(chunk)


def load(image: Image, tag: str, api: APIClient) -> str:
    """Load an image into the Docker Engine, sending only the layers that it lacks; returns the image's id there.

    Raises OutputError.
    """
    from docker.errors import DockerException

    present = _present_diff_ids(api)
    try:
        try:
            return _load(image, tag, api, present)
        except (OutputError, DockerException):
            if not present:
                raise
            return _load(image, tag, api, frozenset())  # a layer was removed meanwhile
    except DockerException as error:
        raise OutputError(
            f"the Docker Engine cannot load the image: {error}",
            hint="free space for it, or choose --output oci-layout",
        ) from error


def _load(image: Image, tag: str, api: APIClient, without: Collection[str]) -> str:
    from fnpack.engine.sdk import inspect_image

    upload = _Upload(archive_chunks(image, tag, without=without))
    for answer in api.load_image(upload):  # type: ignore[no-untyped-call]
        if "error" in answer:
            raise OutputError(f"the Docker Engine refuses the image: {answer['error']}")
    return str(inspect_image(api, tag)["Id"])


def archive_chunks(image: Image, tag: str, *, without: Collection[str] = ()) -> Iterator[bytes]:
    """The bytes of a `docker load` archive, without the layers whose diff ids are in `without`."""
    names = [f"{layer.diff_id.removeprefix('sha256:')}/layer.tar" for layer in image.layers]
    config = f"{image.image_id.removeprefix('sha256:')}.json"
    sent: set[str] = set()
    for layer, name in zip(image.layers, names, strict=True):
        if layer.diff_id in without or name in sent:
            continue
        sent.add(name)
        yield from _entry(name, layer.descriptor.size_bytes, _chunks(layer.content))
    yield from _entry(config, len(image.config.data), [image.config.data])
    entry = [{"Config": config, "RepoTags": [tag], "Layers": names}]
    text = json.dumps(entry).encode()
    yield from _entry("manifest.json", len(text), [text])
    yield bytes(1024)


class _Upload:
    """Chunks as the file that docker's client sends."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks

    def __iter__(self) -> Iterator[bytes]:
        return self._chunks


def _present_diff_ids(api: APIClient) -> frozenset[str]:
    """The layers that the Engine's images have. None with containerd's store, which has to get whole images."""
    from docker.errors import DockerException

    from fnpack.engine.sdk import inspect_image

    try:
        info = api.info()
        if any("containerd" in str(entry) for entry in info.get("DriverStatus") or []):
            return frozenset()
        found: set[str] = set()
        for image in api.images(quiet=True):
            rootfs = inspect_image(api, image).get("RootFS")
            found.update((rootfs.get("Layers") or []) if isinstance(rootfs, dict) else [])
    except DockerException:
        return frozenset()
    return frozenset(found)


def _entry(name: str, size: int, chunks: Iterator[bytes] | list[bytes]) -> Iterator[bytes]:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = size, 0o644
    yield entry.tobuf(tarfile.GNU_FORMAT)
    yield from chunks
    yield bytes(-size % 512)


def _chunks(content: Content) -> Iterator[bytes]:
    with content.open() as stream:
        while chunk := stream.read(_COPY_BYTES):
            yield chunk


@contextmanager
def _new_files(folder: Path) -> Iterator[Callable[[Content], None]]:
    """Gives what writes a blob into a layout. If the block fails, what it wrote is removed again."""
    new: list[Path] = []
    index = folder / "index.json"
    before = index.read_bytes() if index.is_file() else None

    def write(content: Content) -> None:
        place = folder / "blobs" / "sha256" / content.descriptor.digest.removeprefix("sha256:")
        if place.exists() and place.stat().st_size == content.descriptor.size_bytes:
            return
        with partial(place) as out, content.open() as stream:
            shutil.copyfileobj(stream, out, _COPY_BYTES)
        new.append(place)

    with new_folder(folder / "blobs" / "sha256"):
        try:
            mark = folder / "oci-layout"
            if not mark.exists():
                _write_text(mark, json.dumps({"imageLayoutVersion": "1.0.0"}))
                new.append(mark)
            yield write
        except BaseException:
            if before == (index.read_bytes() if index.is_file() else None):  # no other build needs them
                for path in new:
                    path.unlink(missing_ok=True)
            raise


def _write_text(path: Path, text: str) -> None:
    with partial(path) as out:
        out.write(text.encode())
