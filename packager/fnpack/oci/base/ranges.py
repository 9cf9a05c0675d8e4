"""Reads a part of a file as a file of its own."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from fnpack.oci.content import Descriptor

_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class RangeContent:
    """A content that is a part of a file: a member of an archive that is not compressed as a whole."""

    descriptor: Descriptor
    path: Path
    start: int

    def open(self, offset: int = 0) -> BinaryIO:
        """A stream of the bytes from `offset` on."""
        stream = _Range(self.path, self.start + offset, self.descriptor.size_bytes - offset)
        return cast("BinaryIO", io.BufferedReader(stream, _BLOCK_BYTES))


class _Range(io.RawIOBase):
    def __init__(self, path: Path, start: int, size_bytes: int) -> None:
        super().__init__()
        self._left = max(0, size_bytes)
        self._file = path.open("rb", buffering=0)
        self._file.seek(start)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(cast("bytearray", buffer))[: self._left]
        count = self._file.readinto(view) or 0
        self._left -= count
        return count

    def close(self) -> None:
        self._file.close()
        super().close()
