"""A tar of large files that is made while it is read: nothing is copied, and its digest is known from the files'."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import BinaryIO, NamedTuple, cast

from fnpack.oci.content import LAYER, Descriptor
from fnpack.oci.file_digests import Stamp, changed, chunks, stamp_of
from fnpack.oci.layer_cache import Known


class TarFile(NamedTuple):
    """A file, its path in the image (no leading slash), and what tells that it is the one that was described."""

    path: str
    file: Path
    stamp: Stamp

    @classmethod
    def of(cls, path: str, file: Path) -> TarFile:
        """The file as it is now."""
        return cls(path, file, stamp_of(file))

    @property
    def size_bytes(self) -> int:
        """The file's."""
        return self.stamp[0]

    def check(self) -> None:
        """Raise UnsafeContent if the file changed since."""
        if stamp_of(self.file) != self.stamp:
            raise changed(self.file)


class FileTar(NamedTuple):
    """The tar as a content. Raises UnsafeContent when it is opened and a file has changed."""

    descriptor: Descriptor
    files: tuple[TarFile, ...]
    mtime_s: int = 0

    def open(self, offset: int = 0) -> BinaryIO:
        """The tar's bytes from `offset` on."""
        for one in self.files:
            one.check()
        return io.BufferedReader(cast("io.FileIO", _Stream(_from(self.files, self.mtime_s, offset))), 1 << 20)


class _Stream(io.RawIOBase):
    """Pieces as one stream."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._rest = pieces, memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._rest = memoryview(piece)
        size = min(len(buffer), len(self._rest))
        buffer[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size


def described(files: Sequence[TarFile], mtime_s: int) -> tuple[Known, tuple[str, ...]]:
    """What the tar is, and the SHA-256 of each file: one pass, at once where there are two processors."""
    from concurrent.futures import ThreadPoolExecutor

    tar, size, contents = hashlib.sha256(), 0, []
    with ThreadPoolExecutor(1) as other:
        for part in _parts(files, mtime_s):
            if isinstance(part, bytes):
                tar.update(part)
                size += len(part)
                continue
            content = hashlib.sha256()
            for piece in chunks(part.file):
                hashing = other.submit(content.update, piece)
                tar.update(piece)
                hashing.result()
                size += len(piece)
            part.check()
            contents.append(content.hexdigest())
    digest = f"sha256:{tar.hexdigest()}"
    return Known(LAYER, digest, digest, size), tuple(contents)


def _from(files: Sequence[TarFile], mtime_s: int, offset: int) -> Iterator[bytes]:
    for part in _parts(files, mtime_s):
        size = len(part) if isinstance(part, bytes) else part.size_bytes
        if offset >= size:
            offset -= size
            continue
        if isinstance(part, bytes):
            yield part[offset:]
        else:
            yield from chunks(part.file, offset)
        offset = 0


def _parts(files: Sequence[TarFile], mtime_s: int) -> Iterator[bytes | TarFile]:
    """The tar's bytes in order, with the files in the place of theirs."""
    import tarfile

    from fnpack.oci.writer import LayerWriter

    out = io.BytesIO()
    writer = LayerWriter(out, is_gzip=False, mtime_s=mtime_s)  # for the folders, each of them once
    for one in files:
        out.seek(0)
        out.truncate()
        writer.folder(PurePosixPath(one.path).parent.as_posix())
        entry = tarfile.TarInfo(one.path)
        entry.size, entry.mode, entry.mtime = one.size_bytes, 0o644, mtime_s
        yield out.getvalue() + entry.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")
        yield one
        yield bytes(-one.size_bytes % 512)
    yield bytes(1024)
