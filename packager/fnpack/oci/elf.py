"""Finds what of a shared library is needed at run time."""

from __future__ import annotations

import struct


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
