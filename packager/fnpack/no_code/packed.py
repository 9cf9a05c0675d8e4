"""Opens a file that may be compressed, as joblib compresses: zlib, gzip, bz2, lzma, xz. It reads forward only."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from fnpack.no_code.pickles import LONGEST_LINE, FileSource, PickleError, Source

_PIECE = 1 << 16
_LZ4 = b"\x04\x22\x4d\x18"
_ZLIB = (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")


@contextmanager
def opened(path: Path) -> Iterator[Source]:
    """The file's bytes, unpacked where they are compressed. Raises PickleError for lz4, which Python cannot read."""
    with path.open("rb") as file:
        start = file.read(6)
        file.seek(0)
        try:
            yield _source(file, start)
        except (zlib.error, lzma.LZMAError, EOFError, OSError) as error:
            raise PickleError(f"it cannot be unpacked: {error}") from error


def is_lz4(path: Path) -> bool:
    """Whether the file is compressed with lz4."""
    with path.open("rb") as file:
        return file.read(4) == _LZ4


def _source(file: BinaryIO, start: bytes) -> Source:
    if start.startswith(_ZLIB):
        return _Unpacked(_Inflated(file))
    if start.startswith(b"\x1f\x8b"):
        return _Unpacked(cast("BinaryIO", gzip.GzipFile(fileobj=file)))
    if start.startswith(b"BZh"):
        return _Unpacked(cast("BinaryIO", bz2.BZ2File(file)))
    if start.startswith((b"\xfd7zXZ\x00", b"\x5d\x00")):
        return _Unpacked(cast("BinaryIO", lzma.LZMAFile(file)))
    return FileSource(file)


class _Inflated:
    """zlib's bytes unpacked, a piece at a time."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._inflate, self._held = file, zlib.decompressobj(), b""

    def read(self, size: int) -> bytes:
        while len(self._held) < size and not self._inflate.eof:
            packed = self._inflate.unconsumed_tail or self._file.read(_PIECE)
            if not packed:
                break
            self._held += self._inflate.decompress(packed, max(size, _PIECE))
        data, self._held = self._held[:size], self._held[size:]
        return data


class _Unpacked:
    """A source of unpacked bytes: what is passed over has to be unpacked all the same."""

    def __init__(self, file: BinaryIO | _Inflated) -> None:
        self._file, self._held = file, b""

    def read(self, size: int) -> bytes:
        if len(self._held) < size:
            self._held += self._file.read(max(size - len(self._held), _PIECE))
        data, self._held = self._held[:size], self._held[size:]
        return data

    def readline(self) -> bytes:
        line = b""
        while not line.endswith(b"\n") and len(line) < LONGEST_LINE and (one := self.read(1)):
            line += one
        return line

    def skip(self, size: int) -> None:
        while size > 0 and (piece := self.read(min(size, _PIECE))):
            size -= len(piece)
