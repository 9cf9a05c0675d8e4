"""Layers of models: a large file is a layer of its own, read straight from where it lies; small ones go together.

A layer of a large file is a plain tar: what to send is known from the file's digest alone, nothing is copied, and no
compressor decides about the layer's digest. Its digest and the file's are remembered with size, time and inode of the
file, so that a model that did not change is not read again.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import tarfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

from fnpack.atomic_file import replacing
from fnpack.oci.content import LAYER, Descriptor, Layer
from fnpack.oci.file_digests import HashedFile, Stamp, changed, chunks, is_young, stamp_of
from fnpack.oci.layer_cache import Known, LayerCache
from fnpack.oci.recipes import FORMAT, layer_of
from fnpack.oci.tree_layers import FilesRecipe
from fnpack.oci.writer import LayerWriter

LARGE_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class ModelLayers:
    """What a model is in an image: layers, and the files in them by path."""

    layers: tuple[Layer, ...]
    files: tuple[HashedFile, ...]


def model_layers(
    files: Mapping[str, Path], title: str, cache: LayerCache, *, mtime_s: int = 0
) -> ModelLayers:
    """The layers of one model. `files` maps paths in the image (no leading slash) to the files here."""
    large = {path: file for path, file in sorted(files.items()) if file.stat().st_size > LARGE_BYTES}
    small = {path: file for path, file in sorted(files.items()) if path not in large}
    layers: list[Layer] = []
    hashed: list[HashedFile] = []
    if small:
        recipe = FilesRecipe(small, title, note=_note_of_small(small, cache))
        layers.append(layer_of(recipe, cache, mtime_s=mtime_s))
        hashed += recipe.hashed
    for path, file in large.items():
        layer, sha256 = _large(path, file, f"{title} {PurePosixPath(path).name}", cache, mtime_s)
        layers.append(layer)
        hashed.append(HashedFile(path, sha256, file.stat().st_size))
    return ModelLayers(tuple(layers), tuple(sorted(hashed, key=lambda one: one.path)))


@dataclass(frozen=True, slots=True)
class FileTar:
    """A tar of one file and its folders, made while it is read. Raises UnsafeContent if the file changed since."""

    descriptor: Descriptor
    path: str
    file: Path
    stamp: Stamp
    mtime_s: int = 0

    def open(self, offset: int = 0) -> BinaryIO:
        """The tar's bytes from `offset` on."""
        if stamp_of(self.file) != self.stamp:
            raise changed(self.file)
        head = _head(self.path, self.stamp[0], self.mtime_s)
        tail = bytes(-self.stamp[0] % 512) + bytes(1024)
        pieces = _Pieces(head, self.file, self.stamp[0], tail, offset)
        return io.BufferedReader(cast("io.FileIO", pieces), 1 << 20)


class _Pieces(io.RawIOBase):
    """Head, file and tail as one stream."""

    def __init__(self, head: bytes, file: Path, size_bytes: int, tail: bytes, offset: int) -> None:
        self._pieces = _pieces(head, file, size_bytes, tail, offset)
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        if not self._rest:
            self._rest = next(self._pieces, b"")
        size = min(len(buffer), len(self._rest))
        buffer[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size


def _pieces(head: bytes, file: Path, size_bytes: int, tail: bytes, offset: int) -> Iterator[bytes]:
    if offset < len(head):
        yield head[offset:]
    inside = max(0, offset - len(head))
    if inside < size_bytes:
        yield from chunks(file, inside)
    yield tail[max(0, inside - size_bytes) :]


def _large(path: str, file: Path, title: str, cache: LayerCache, mtime_s: int) -> tuple[Layer, str]:
    """The layer of one file, and the SHA-256 of the file itself."""
    stamp = stamp_of(file)
    note = _note(path, file, mtime_s, cache)
    noted = _noted(note, stamp)
    if noted is None:
        was_young = is_young(stamp)
        noted = _describe(path, file, stamp, mtime_s)
        if not was_young:
            _keep(note, stamp, *noted)
    known, sha256 = noted
    descriptor = Descriptor(known.media_type, known.digest, known.size_bytes)
    return Layer(FileTar(descriptor, path, file, stamp, mtime_s), known.diff_id, title), sha256


def _describe(path: str, file: Path, stamp: Stamp, mtime_s: int) -> tuple[Known, str]:
    """Both digests in one pass, at once where there are two processors."""
    head, tail = _head(path, stamp[0], mtime_s), bytes(-stamp[0] % 512) + bytes(1024)
    tar, content, size = hashlib.sha256(head), hashlib.sha256(), len(head)
    with ThreadPoolExecutor(1) as other:
        for piece in chunks(file):
            hashing = other.submit(content.update, piece)
            tar.update(piece)
            hashing.result()
            size += len(piece)
    tar.update(tail)
    digest = f"sha256:{tar.hexdigest()}"
    return Known(LAYER, digest, digest, size + len(tail)), content.hexdigest()


def _head(path: str, size_bytes: int, mtime_s: int) -> bytes:
    out = io.BytesIO()
    writer = LayerWriter(out, is_gzip=False, mtime_s=mtime_s)
    writer.folder(PurePosixPath(path).parent.as_posix())
    entry = tarfile.TarInfo(path)
    entry.size, entry.mode, entry.mtime = size_bytes, 0o644, mtime_s
    return out.getvalue() + entry.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")


def _note(path: str, file: Path, mtime_s: int, cache: LayerCache) -> Path:
    facts = [FORMAT, path, str(file.resolve()), mtime_s]
    return cache.folder / "models" / hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _note_of_small(files: Mapping[str, Path], cache: LayerCache) -> Path:
    facts = [FORMAT, sorted((path, str(file.resolve())) for path, file in files.items())]
    return cache.folder / "models" / hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _noted(note: Path, stamp: Stamp) -> tuple[Known, str] | None:
    try:
        noted = json.loads(note.read_bytes())
        return (Known(**noted["known"]), str(noted["sha256"])) if noted["stamp"] == list(stamp) else None
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _keep(note: Path, stamp: Stamp, known: Known, sha256: str) -> None:
    with contextlib.suppress(OSError):  # it is read again next time
        text = json.dumps({"stamp": stamp, "known": asdict(known), "sha256": sha256})
        with replacing(note, 0o666) as file:
            file.write(text.encode())
