"""Writes images to an OCI layout: a folder that other tools read and write too, so that theirs is left alone."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from fnpack.oci.content import Content
from fnpack.oci.errors import OutputUnwritable
from fnpack.oci.output.copying import verified
from fnpack.oci.plan import Image, index_of, json_bytes, platform_json
from fnpack.progress import Progress, ProgressEvent, ignore

if TYPE_CHECKING:
    from typing import BinaryIO

LAYOUT = json_bytes({"imageLayoutVersion": "1.0.0"})
REF_NAME, IMAGE_NAME = "org.opencontainers.image.ref.name", "io.containerd.image.name"
_LARGEST_JSON_BYTES = 4 << 20


def write_layout(images: Sequence[Image], folder: Path, *, tag: str, progress: Progress = ignore) -> str:
    """Put the images under `tag` into the layout at `folder`; several make an index. Returns the digest.

    What is there already stays: blobs are not copied twice, other tags are kept, and what only the tag's earlier
    image had is removed. Raises OutputUnwritable, and LayerLost for a layer that cannot be had.
    """
    contents, entry = described(images, tag)
    try:
        index = _read_index(folder)
        blobs = folder / "blobs" / "sha256"
        blobs.mkdir(parents=True, exist_ok=True)
        for content, title in contents:
            _write_blob(content, title, blobs, progress)
        others = [one for one in index if _name(one) != _name(entry)]
        before = [one for one in index if _name(one) == _name(entry)]
        with _replacing(folder / "oci-layout") as file:
            file.write(LAYOUT)
        with _replacing(folder / "index.json") as file:
            file.write(index_json([*others, entry]))
        _tidy(blobs, before, [*others, entry])
    except OSError as exc:
        where = exc.filename or folder
        raise OutputUnwritable(
            f"the image cannot be written to {folder}: {exc.strerror or exc} ({where})",
            hint="check free space and permissions, or choose another folder",
        ) from exc
    return str(entry["digest"])


def described(images: Sequence[Image], tag: str) -> tuple[list[tuple[Content, str]], dict[str, object]]:
    """All blobs of the images, each once, with titles; and the entry of a layout's index for them."""
    found: dict[str, tuple[Content, str]] = {}
    for image in images:
        for layer in image.layers:
            found.setdefault(layer.descriptor.digest, (layer.content, layer.title))
        found.setdefault(image.config.descriptor.digest, (image.config, "config"))
        found.setdefault(image.manifest.descriptor.digest, (image.manifest, f"manifest {image.platform}"))
    top = images[0].manifest if len(images) == 1 else index_of(images)
    found.setdefault(top.descriptor.digest, (top, "index"))
    entry: dict[str, object] = {**top.descriptor.to_json()}
    if len(images) == 1:
        entry["platform"] = platform_json(images[0].platform)
    name, _, short = tag.rpartition(":")
    is_tagged = bool(name) and "/" not in short
    entry["annotations"] = {
        REF_NAME: short if is_tagged else "latest",
        IMAGE_NAME: tag if is_tagged else f"{tag}:latest",
    }
    return list(found.values()), entry


def index_json(entries: Iterable[Mapping[str, object]]) -> bytes:
    """A layout's index."""
    from fnpack.oci.content import INDEX

    return json_bytes({"schemaVersion": 2, "mediaType": INDEX, "manifests": list(entries)})


def _name(entry: Mapping[str, object]) -> object:
    notes = entry.get("annotations")
    return notes.get(IMAGE_NAME) or notes.get(REF_NAME) if isinstance(notes, Mapping) else None


def _read_index(folder: Path) -> list[dict[str, object]]:
    """The entries of the layout that is there. A folder with other things in it is refused."""
    if not folder.is_dir():
        if folder.exists() or folder.is_symlink():
            raise OutputUnwritable(f"{folder} is not a folder", hint="choose another place, or remove it")
        return []
    path = folder / "index.json"
    if not path.is_file():
        if any(name not in ("blobs", "oci-layout") for name in os.listdir(folder)):  # noqa: PTH208 - names alone
            raise OutputUnwritable(
                f"{folder} is not empty and is no OCI layout", hint="choose an empty or new folder"
            )
        return []
    try:
        entries = json.loads(path.read_bytes())["manifests"]
        assert all(isinstance(entry, dict) for entry in entries)
    except (ValueError, KeyError, TypeError, AssertionError) as exc:
        raise OutputUnwritable(
            f"{path} cannot be read as the index of an OCI layout", hint="choose a new folder"
        ) from exc
    return list(entries)


def _write_blob(content: Content, title: str, blobs: Path, progress: Progress) -> None:
    descriptor = content.descriptor
    path = blobs / descriptor.digest.removeprefix("sha256:")
    step = f"write {title}"
    with suppress(OSError):
        if path.stat().st_size == descriptor.size_bytes:
            progress(
                ProgressEvent(step, "cached", descriptor.digest, descriptor.size_bytes, descriptor.size_bytes)
            )
            return
    progress(ProgressEvent(step, "started", total_bytes=descriptor.size_bytes))
    with _replacing(path) as file:
        for block in verified(content):
            file.write(block)
    progress(ProgressEvent(step, "done", descriptor.digest, descriptor.size_bytes, descriptor.size_bytes))


@contextmanager
def _replacing(path: Path) -> Iterator[BinaryIO]:
    """As `fnpack.registry.atomic`, and readable by everyone: a layout may be copied by others."""
    from fnpack.registry.atomic import replacing

    with replacing(path) as file:
        yield file
    path.chmod(0o644)


def _tidy(blobs: Path, before: Iterable[Mapping[str, object]], now: Iterable[Mapping[str, object]]) -> None:
    """Remove the blobs that only replaced images had."""
    gone, kept = _reachable(blobs, before), _reachable(blobs, now)
    for digest in gone - kept:
        with suppress(OSError):
            (blobs / digest.removeprefix("sha256:")).unlink()


def _reachable(blobs: Path, entries: Iterable[Mapping[str, object]]) -> set[str]:
    found: set[str] = set()
    waiting = [str(entry.get("digest")) for entry in entries]
    while waiting:
        digest = waiting.pop()
        path = blobs / digest.removeprefix("sha256:")
        if digest in found or "/" in digest.removeprefix("sha256:"):
            continue
        found.add(digest)
        with suppress(OSError, ValueError):
            if path.stat().st_size <= _LARGEST_JSON_BYTES and (data := path.read_bytes()).startswith(b"{"):
                waiting += _digests(json.loads(data))
    return found


def _digests(content: object) -> list[str]:
    if not isinstance(content, Mapping):
        return []
    listed = [*(content.get("manifests") or []), *(content.get("layers") or []), content.get("config") or {}]
    return [str(one["digest"]) for one in listed if isinstance(one, Mapping) and "digest" in one]
