"""A large file that compresses well, as a gzip layer in the cache: text models, sparse or repeated weights.

Whether it does is probed in pieces from all over the file. It is compressed in blocks, on up to eight processors, each
with the end of the one before as its dictionary, so that they make one deflate stream (RFC 1951).
"""

from __future__ import annotations

import hashlib
import os
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from fnpack.oci.file_digests import changed, chunks
from fnpack.oci.file_tar import TarFile
from fnpack.oci.recipes import key_of
from fnpack.oci.writer import LayerWriter

WORTH = 0.7  # of the size: above this, sending less is not worth the time
_PROBES, _PROBE_BYTES = 16, 64 * 1024
_LEVEL = 1  # twice as fast as the next that compresses more, by a few per cent
_WINDOW_BYTES = 32 * 1024
_MOST_WORKERS = 8  # with up to 4 MB each: a build takes less than 100 MB of memory, whatever the machine
_END = zlib.compressobj(_LEVEL, zlib.DEFLATED, -15).flush()  # an empty last block


@dataclass(frozen=True)
class PackedRecipe:
    """The layer of one file, compressed. `sha256` is the file's."""

    source: TarFile
    sha256: str
    title: str
    is_gzip: bool = field(default=True, init=False)

    @property
    def key(self) -> str:
        """Of the path and the file's digest."""
        return key_of("packed", path=self.source.path, sha256=self.sha256)

    @property
    def size_bytes(self) -> int:
        """Of the file."""
        return self.source.size_bytes

    def write(self, writer: LayerWriter) -> None:
        """Compress the file. Raises UnsafeContent if it is not the one that was described."""
        self.source.check()
        seen = hashlib.sha256()
        writer.packed(self.source.path, _deflated(_told(self.source, seen.update)), self.source.size_bytes)
        if seen.hexdigest() != self.sha256:
            raise changed(self.source.file)


def compresses(source: TarFile) -> bool:
    """Whether the file compresses well, by samples from all over it."""
    size, before, after = source.size_bytes, 0, 0
    with source.file.open("rb") as file:
        for number in range(_PROBES):
            file.seek(max(0, size - _PROBE_BYTES) * number // (_PROBES - 1))
            piece = file.read(_PROBE_BYTES)
            before, after = before + len(piece), after + len(zlib.compress(piece, _LEVEL))
    return after <= WORTH * before


def _told(source: TarFile, tell: Callable[[bytes], object]) -> Iterator[bytes]:
    for piece in chunks(source.file):
        tell(piece)
        yield piece


def _deflated(pieces: Iterable[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """Each piece with its part of one raw deflate stream."""
    workers = min(os.cpu_count() or 1, _MOST_WORKERS)
    waiting: deque[tuple[bytes, Future[bytes]]] = deque()
    before = b""
    with ThreadPoolExecutor(workers) as pool:
        for piece in pieces:
            waiting.append((piece, pool.submit(_block, piece, before)))
            before = piece[-_WINDOW_BYTES:]
            if len(waiting) > 2 * workers:
                plain, packed = waiting.popleft()
                yield plain, packed.result()
        for plain, packed in waiting:
            yield plain, packed.result()
    yield b"", _END


def _block(piece: bytes, before: bytes) -> bytes:
    if before:
        deflater = zlib.compressobj(_LEVEL, zlib.DEFLATED, -15, zdict=before)
    else:
        deflater = zlib.compressobj(_LEVEL, zlib.DEFLATED, -15)
    return deflater.compress(piece) + deflater.flush(zlib.Z_SYNC_FLUSH)
