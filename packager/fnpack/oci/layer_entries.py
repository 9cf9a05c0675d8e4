"""Reads what a base image's layer holds, from one end to the other: paths, and the content of the files asked for.

A base has tens of thousands of entries of which one or two matter, so no more than that is read of each header.
Sources: POSIX.1-2001 (ustar and pax) and GNU tar for headers.
"""

from __future__ import annotations

from collections.abc import Iterator
from re import Pattern
from typing import BinaryIO

from fnpack.oci.bases import BaseSource
from fnpack.oci.content import Content
from fnpack.oci.inflating import InflateError, plain

_BLOCK = 512
_READ_BYTES = 1 << 18
_MOST_BYTES = 64 << 20  # of a content that is read whole
_BLANK = sum(b" " * 8)
_FILES, _LONG_NAME, _PAX, _SPARSE = b"0\x007", b"L", b"xX", b"S"
_NO_ENTRIES = b"gKV"  # other headers' kinds: nothing in them matters here
_NO_CONTENT = b"123456"  # links, devices, folders


class NotATar(ValueError):  # noqa: N818 - says what it is
    """The layer is no tar, or ends in the midst of one."""


LAYER_ERRORS = (NotATar, OSError, EOFError, InflateError)  # of a layer that cannot be read


def entries(
    base: BaseSource, layer: Content, wanted: Pattern[str] | None = None
) -> Iterator[tuple[str, bytes]]:
    """The path of each entry, with the content of a file whose path is `wanted`, else b"".

    Raises LAYER_ERRORS, and what the base's place raises.
    """
    with base.open_layer(layer.descriptor) as stream, plain(stream) as unpacked:
        yield from _entries(_Reader(unpacked), wanted)


def _entries(reader: _Reader, wanted: Pattern[str] | None) -> Iterator[tuple[str, bytes]]:
    name, size = None, None  # of the next entry, where a header of its own says so
    while header := reader.header():
        kind, here = header[156:157], _number(header[124:136])
        if kind == _LONG_NAME:
            name = _text(reader.take(here))
            continue
        if kind in _PAX:
            records = _pax(reader.take(here))
            name = records.get("path", name)
            size = int(records["size"]) if "size" in records else size
            continue
        if kind in _NO_ENTRIES:
            reader.skip(here)
            continue
        here = here if size is None else size
        if kind == _SPARSE:
            reader.skip_sparse_map(header)
        path = (name if name is not None else _short_name(header)).rstrip("/")
        name = size = None
        if kind in _NO_CONTENT:
            yield path, b""
        elif wanted and kind in _FILES and wanted.match(path) and here <= _MOST_BYTES:
            yield path, reader.take(here)
        else:
            reader.skip(here)
            yield path, b""


class _Reader:
    """A tar's blocks, in large pieces."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream, self._data, self._at = stream, b"", 0

    def header(self) -> bytes:
        """The next header, checked; b"" at the end."""
        at, data = self._at, self._data
        if at + _BLOCK <= len(data):
            header, self._at = data[at : at + _BLOCK], at + _BLOCK
        else:
            header = self._read(_BLOCK)
        if not any(header):
            return b""
        if len(header) < _BLOCK or _number(header[148:156]) != sum(header) - sum(header[148:156]) + _BLANK:
            raise NotATar("it is no tar, or a damaged one")
        return header

    def take(self, size: int) -> bytes:
        """The content of a file of `size` bytes."""
        if size > _MOST_BYTES:
            raise NotATar(f"a header of {size} bytes")
        content = self._read(size)
        self._need(len(content) == size)
        self.skip(-size % _BLOCK, padded=False)
        return content

    def skip(self, size: int, *, padded: bool = True) -> None:
        """Go past a content, and what fills its last block."""
        left = size + (-size % _BLOCK if padded else 0)
        while left > len(self._data) - self._at:
            left -= len(self._data) - self._at
            self._data, self._at = self._stream.read(_READ_BYTES), 0
            self._need(bool(self._data))
        self._at += left

    def skip_sparse_map(self, header: bytes) -> None:
        """Go past the blocks that say where a sparse file (GNU tar's) has holes."""
        more = header[482]
        while more:
            block = self._read(_BLOCK)
            self._need(len(block) == _BLOCK)
            more = block[504]

    def _read(self, size: int) -> bytes:
        """`size` bytes, or fewer at the end."""
        pieces, left = [], size
        while left:
            piece = self._data[self._at : self._at + left]
            if not piece:
                self._data, self._at = self._stream.read(_READ_BYTES), 0
                if not self._data:
                    break
                continue
            self._at += len(piece)
            left -= len(piece)
            pieces.append(piece)
        return b"".join(pieces)

    @staticmethod
    def _need(is_there: bool) -> None:
        if not is_there:
            raise NotATar("it ends in the midst of a file")


def _number(field: bytes) -> int:
    """A number of a header: octal digits, or GNU's binary form for large ones."""
    if field[0] & 0x80:
        return int.from_bytes(field[1:], "big")
    try:
        return int(field.rstrip(b" \0") or b"0", 8)
    except ValueError as error:
        raise NotATar("a header has no number where there should be one") from error


def _short_name(header: bytes) -> str:
    name = _text(header[:100])
    prefix = _text(header[345:500]) if header[257:263] == b"ustar\0" else ""
    return f"{prefix}/{name}" if prefix else name


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("utf-8", "surrogateescape")


def _pax(content: bytes) -> dict[str, str]:
    """A pax header's records: `LENGTH KEY=VALUE\\n`."""
    found, at = {}, 0
    while at < len(content) and content[at]:
        digits = content[at : at + 20].partition(b" ")[0]
        end = at + int(digits) if digits.isdigit() else 0
        if content[end - 1 : end] != b"\n" or end <= at:
            raise NotATar("a pax header cannot be read")
        key, _, value = content[at + len(digits) + 1 : end - 1].partition(b"=")
        found[key.decode("utf-8", "replace")] = value.decode("utf-8", "surrogateescape")
        at = end
    return found
