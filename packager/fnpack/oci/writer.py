"""Writes one gzip layer, entry by entry, with its digest, its diff id and its size, in bounded memory."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable, Iterator
from typing import BinaryIO, Protocol

from fnpack.oci import gzipped, tar
from fnpack.oci.content import LAYER_GZIP, Descriptor

_FLUSH_BYTES = 1 << 18  # what waits to be stored, at most, before it is written
_INFLATED_BYTES = 1 << 20
_SMALL_BYTES = 256  # a stream of its own costs more than it saves


class DeflateFault(Exception):  # noqa: N818 - its callers say what it means
    """A deflate stream is broken, or holds more, less or something else than was said. The text says which."""


class Watcher(Protocol):
    """Sees the uncompressed bytes of a file go by, such as a hash."""

    def update(self, data: bytes, /) -> None:
        """Take the next bytes."""


class LayerWriter:
    """Entries become a tar in gzip members, written to `file`. Call `finish` at the end.

    Folders and their order are the caller's: every entry is written as it comes.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._digest, self._diff = hashlib.sha256(), hashlib.sha256()
        self._size_bytes = 0
        self._waiting = bytearray()

    def folder(self, path: str) -> None:
        """A folder that anybody may read."""
        self._store(tar.header(path, kind=tar.FOLDER, mode=0o755))

    def symlink(self, path: str, target: str) -> None:
        """A symbolic link."""
        self._store(tar.header(path, kind=tar.SYMLINK, mode=0o777, link=target))

    def stored(self, path: str, data: bytes, *, mode: int = 0o644) -> None:
        """A file in memory, uncompressed."""
        self.stored_stream(path, (data,), len(data), mode=mode)

    def stored_stream(
        self, path: str, blocks: Iterable[bytes], size_bytes: int, *, mode: int = 0o644
    ) -> None:
        """A file of `size_bytes` bytes, uncompressed. The caller sees to it that the blocks are as many."""
        self._store(tar.header(path, size_bytes=size_bytes, mode=mode))
        for block in blocks:
            self._store(block)
        self._store(tar.padding(size_bytes))

    def deflated(
        self,
        path: str,
        stream: Iterable[bytes],
        size_bytes: int,
        crc: int,
        *,
        mode: int = 0o644,
        watcher: Watcher | None = None,
    ) -> None:
        """A file whose deflate stream is there already: it is copied, and inflated only to be checked.

        A small file is stored instead. Raises DeflateFault.
        """
        if size_bytes <= _SMALL_BYTES:
            data = b"".join(inflated(stream, size_bytes, crc))
            if watcher:
                watcher.update(data)
            self.stored(path, data, mode=mode)
            return
        self._store(tar.header(path, size_bytes=size_bytes, mode=mode))
        self._flush()
        self._write(gzipped.HEAD)
        for data in inflated(self._copied(stream), size_bytes, crc):
            self._diff.update(data)
            if watcher:
                watcher.update(data)
        self._write(gzipped.tail(crc, size_bytes))
        self._store(tar.padding(size_bytes))

    def finish(self) -> tuple[Descriptor, str]:
        """End the tar; returns the layer's descriptor and its diff id."""
        self._store(tar.END)
        self._flush()
        descriptor = Descriptor(LAYER_GZIP, f"sha256:{self._digest.hexdigest()}", self._size_bytes)
        return descriptor, f"sha256:{self._diff.hexdigest()}"

    def _store(self, data: bytes) -> None:
        self._diff.update(data)
        self._waiting += data
        while len(self._waiting) >= _FLUSH_BYTES:
            self._write(gzipped.stored(memoryview(self._waiting)[:_FLUSH_BYTES]))
            self._waiting = self._waiting[_FLUSH_BYTES:]

    def _flush(self) -> None:
        if self._waiting:
            self._write(gzipped.stored(self._waiting))
            self._waiting = bytearray()

    def _copied(self, stream: Iterable[bytes]) -> Iterator[bytes]:
        for block in stream:
            self._write(block)
            yield block

    def _write(self, data: bytes) -> None:
        self._digest.update(data)
        self._size_bytes += len(data)
        self._file.write(data)


def inflated(stream: Iterable[bytes], size_bytes: int, crc: int) -> Iterator[bytes]:
    """The bytes of a raw deflate stream, never more than were promised. Raises DeflateFault."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    found_bytes, found_crc = 0, 0
    for data in _pieces(inflater, stream):
        found_bytes += len(data)
        if found_bytes > size_bytes:
            raise DeflateFault(f"is larger than the {size_bytes} bytes that it says")
        found_crc = zlib.crc32(data, found_crc)
        yield data
    if not inflater.eof:
        raise DeflateFault("ends too early")
    if inflater.unused_data:
        raise DeflateFault("has bytes behind its end")
    if found_bytes != size_bytes:
        raise DeflateFault(f"has {found_bytes} bytes, and says {size_bytes}")
    if found_crc != crc:
        raise DeflateFault("does not have the checksum that it says")


def _pieces(inflater: zlib._Decompress, stream: Iterable[bytes]) -> Iterator[bytes]:
    """What comes out, a piece at a time: a few bytes may hold a thousand times as many."""
    try:
        for block in stream:
            if inflater.eof:
                raise DeflateFault("has bytes behind its end")
            rest = block
            while rest and not inflater.eof:
                if data := inflater.decompress(rest, _INFLATED_BYTES):
                    yield data
                rest = inflater.unconsumed_tail
        while not inflater.eof and (data := inflater.decompress(b"", _INFLATED_BYTES)):
            yield data
    except zlib.error as exc:
        raise DeflateFault("is not a deflate stream") from exc
