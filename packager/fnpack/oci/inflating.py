"""Inflates: by ISA-L, which needs half of zlib's time, or by zlib where that is not installed.

What comes out is the same. Nothing is compressed by it: two compressors may make other bytes of the same.
"""

from __future__ import annotations

import io
from typing import BinaryIO, cast

try:
    from isal import igzip as _gzip
    from isal import isal_zlib as _zlib
except ImportError:  # a machine for which there is no wheel of it
    import gzip as _gzip  # type: ignore[no-redef]
    import zlib as _zlib  # type: ignore[no-redef]

crc32, decompressobj = _zlib.crc32, _zlib.decompressobj
InflateError = cast("type[Exception]", _zlib.error)
_GZIP = b"\x1f\x8b"


def plain(stream: BinaryIO) -> BinaryIO:
    """What `stream` holds, a gzip or not. Reading it may raise OSError, EOFError and InflateError."""
    buffered = stream if hasattr(stream, "peek") else io.BufferedReader(stream)  # type: ignore[type-var]
    if buffered.peek(2)[:2] != _GZIP:
        return buffered
    return cast("BinaryIO", _gzip.open(buffered, "rb"))  # type: ignore[no-untyped-call]
