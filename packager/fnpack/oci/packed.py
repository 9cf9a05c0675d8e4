"""Compresses a plain tar with this machine's zlib, where a layer is allowed to depend on it."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable
from typing import BinaryIO

from fnpack.oci import gzipped
from fnpack.oci.cache import LayerRecord
from fnpack.oci.content import LAYER_GZIP

PROBE_BYTES = 4 << 20
_WORTH_IT = 0.75  # of the size
_FASTEST = 1
_TEXT = b"".join(b"%d fnpack %d\n" % (number * number, number % 7) for number in range(4096))


def is_worth_it(probe: bytes) -> bool:
    """Whether the first bytes of a file get a quarter smaller."""
    return len(zlib.compress(probe, _FASTEST)) < _WORTH_IT * len(probe)


def compress(blocks: Iterable[bytes], file: BinaryIO) -> LayerRecord:
    """Write the tar as one gzip member."""
    packed, plain = hashlib.sha256(), hashlib.sha256()
    packed_bytes, plain_bytes, crc = 0, 0, 0
    compressor = zlib.compressobj(_FASTEST, zlib.DEFLATED, -zlib.MAX_WBITS)

    def write(data: bytes) -> None:
        nonlocal packed_bytes
        packed.update(data)
        packed_bytes += len(data)
        file.write(data)

    write(gzipped.HEAD)
    for block in blocks:
        plain.update(block)
        crc, plain_bytes = zlib.crc32(block, crc), plain_bytes + len(block)
        write(compressor.compress(block))
    write(compressor.flush() + gzipped.tail(crc, plain_bytes))
    return LayerRecord(
        LAYER_GZIP, f"sha256:{packed.hexdigest()}", packed_bytes, f"sha256:{plain.hexdigest()}"
    )


def compressor_name() -> str:
    """What tells this machine's compressor from others: its version, and a hash of what it makes of a text."""
    return f"{zlib.ZLIB_RUNTIME_VERSION} {hashlib.sha256(zlib.compress(_TEXT, _FASTEST)).hexdigest()}"
