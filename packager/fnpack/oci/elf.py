"""Finds what of a shared library is needed at run time."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_LOAD, _DYNAMIC = 1, 2  # kinds of segments
_NEEDED, _STRINGS = 1, 5  # tags of the dynamic section
_MOST_BYTES = 1 << 20  # of a dynamic section


def without_debug_information(library: bytes) -> bytes:
    """A 64-bit ELF library cut behind the last byte that is ever loaded: debug sections and section names follow it.

    The loader reads program headers alone (ELF specification, chapter 5); section headers are for linkers and
    debuggers. Anything else comes back as it is.
    """
    if len(library) < 64 or library[:6] != b"\x7fELF\x02\x01":
        return library
    (table,) = struct.unpack_from("<Q", library, 32)
    size, count = struct.unpack_from("<HH", library, 54)
    end = table + size * count
    if size < 56 or end > len(library):
        return library
    for index in range(count):
        offset, _, _, in_file = struct.unpack_from("<4Q", library, table + index * size + 8)
        end = max(end, offset + in_file)
    if end >= len(library):
        return library
    head = bytearray(library[:64])
    head[40:48] = bytes(8)  # no section headers
    head[58:64] = bytes(6)
    return bytes(head) + library[64:end]


def needed_libraries(library: Path) -> tuple[str, ...]:
    """The names of the libraries that a 64-bit ELF library asks the loader for; none for anything else.

    Source: ELF specification, chapter 5, `DT_NEEDED`.
    """
    try:
        with library.open("rb") as file:
            return tuple(_needed(file))
    except (OSError, struct.error, ValueError, RuntimeError):
        return ()


def _needed(file: BinaryIO) -> Iterator[str]:
    def at(offset: int, size: int) -> bytes:
        file.seek(offset)
        return file.read(size)

    head = at(0, 64)
    if head[:6] != b"\x7fELF\x02\x01":
        return
    (table,) = struct.unpack_from("<Q", head, 32)
    size, count = struct.unpack_from("<HH", head, 54)
    segments = [struct.unpack("<I4xQQ8xQ", at(table + index * size, 40)) for index in range(count)]
    dynamic = next((one for one in segments if one[0] == _DYNAMIC), None)
    if dynamic is None:
        return
    content = at(dynamic[1], min(dynamic[3], _MOST_BYTES))
    entries = list(struct.iter_unpack("<QQ", content[: len(content) // 16 * 16]))
    address = next(value for tag, value in entries if tag == _STRINGS)
    strings = next(
        one[1] + address - one[2] for one in segments if one[0] == _LOAD and 0 <= address - one[2] < one[3]
    )
    for tag, value in entries:
        if tag == _NEEDED:
            yield at(strings + value, 256).partition(b"\0")[0].decode()
