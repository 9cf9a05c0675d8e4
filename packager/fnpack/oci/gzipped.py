"""Writes gzip members whose bytes no compressor decides: stored blocks, and deflate streams made by others.

A gzip file may consist of several members, one after the other (RFC 1952, 2.2). What is in a wheel is deflated
already, so its stream becomes a member as it is; everything else is stored. So the same wheel gives the same bytes
with every zlib, on every machine.
"""

from __future__ import annotations

import zlib

HEAD = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"  # deflate, no name, no time, no particular system
_LARGEST_BLOCK_BYTES = 0xFFFF


def stored(data: bytes | bytearray | memoryview) -> bytes:
    """One gzip member that holds `data` uncompressed."""
    view = memoryview(data)
    parts = [HEAD]
    for start in range(0, len(view) or 1, _LARGEST_BLOCK_BYTES):
        piece = view[start : start + _LARGEST_BLOCK_BYTES]
        is_last = start + _LARGEST_BLOCK_BYTES >= len(view)
        length = len(piece)
        parts += (
            b"\1" if is_last else b"\0",
            length.to_bytes(2, "little"),
            (length ^ 0xFFFF).to_bytes(2, "little"),
        )
        parts.append(bytes(piece))
    parts.append(tail(zlib.crc32(view), len(view)))
    return b"".join(parts)


def tail(crc: int, size_bytes: int) -> bytes:
    """What follows the deflate stream of a member: checksum and size of the uncompressed data."""
    return crc.to_bytes(4, "little") + (size_bytes & 0xFFFFFFFF).to_bytes(4, "little")
