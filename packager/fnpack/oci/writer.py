"""Writes one layer: a tar, plain or as gzip, with the digests of both forms counted on the way.

The same entries give the same bytes on any machine: no times, no owners, no compressor that could choose otherwise.
Contents that are compressed already (members of a wheel) are taken over as they are; all else is stored.
Sources: POSIX.1-2001 (pax) and GNU tar for headers, RFC 1951 for stored blocks, RFC 1952 for gzip members.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable
from functools import lru_cache
from typing import BinaryIO

_BLOCK = 512
_STORED_MAX = 65535
_PENDING_BYTES = 1 << 20
_GZIP_HEAD = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
_END = bytes(2 * _BLOCK)
_SHORT_NAME = 100
_FILE, _FOLDER = b"0", b"5"
_SMALL_BYTES = 8 << 30


class LayerWriter:
    """Takes folders and files in the order given; parent folders are added by themselves, each once.

    `mtime_s` is the time of every entry. After `close`, `digest`, `diff_id` and `size_bytes` describe what was written.
    """

    def __init__(self, out: BinaryIO, *, is_gzip: bool, mtime_s: int = 0) -> None:
        self._out, self._is_gzip, self._mtime_s = out, is_gzip, mtime_s
        self._digest, self._diff = hashlib.sha256(), hashlib.sha256()
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._seen: set[str] = set()
        self.size_bytes = 0

    @property
    def digest(self) -> str:
        """Of the bytes written."""
        return "sha256:" + self._digest.hexdigest()

    @property
    def diff_id(self) -> str:
        """Of the plain tar."""
        return "sha256:" + self._diff.hexdigest()

    def folder(self, path: str) -> None:
        """Add a folder and those above it."""
        if path in self._seen or path in (".", "/", ""):
            return
        self.folder(path.rpartition("/")[0])
        self._seen.add(path)
        self._plain(_header(path, 0, 0o755, self._mtime_s, _FOLDER))

    def file(self, path: str, content: bytes, *, is_executable: bool = False) -> None:
        """Add a file."""
        if self._begin(path, len(content), is_executable=is_executable):
            self._plain(content)
            self._pad(len(content))

    def link(self, path: str, target: str) -> None:
        """Add a symbolic link."""
        if path in self._seen:
            return
        import tarfile

        self.folder(path.rpartition("/")[0])
        self._seen.add(path)
        entry = tarfile.TarInfo(path)
        entry.type, entry.linkname, entry.mode, entry.mtime = tarfile.SYMTYPE, target, 0o777, self._mtime_s
        self._plain(entry.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape"))

    def stream(
        self, path: str, chunks: Iterable[bytes], size_bytes: int, *, is_executable: bool = False
    ) -> None:
        """Add a file of a known size in pieces. Raises ValueError if they add up to another size."""
        if not self._begin(path, size_bytes, is_executable=is_executable):
            return
        total = 0
        for chunk in chunks:
            total += len(chunk)
            if total > size_bytes:
                break
            self._plain(chunk)
        if total != size_bytes:
            raise ValueError(f"{path} changed while it was read")
        self._pad(size_bytes)

    def deflated(
        self, path: str, raw: Iterable[bytes], size_bytes: int, crc: int, *, is_executable: bool = False
    ) -> None:
        """Add a file from its raw deflate stream, which is inflated only to be checked and counted.

        Raises ValueError where stream, size and checksum do not agree.
        """
        if not self._begin(path, size_bytes, is_executable=is_executable):
            return
        self._flush()
        if self._is_gzip:
            self._write(_GZIP_HEAD)
        from fnpack.oci.inflating import crc32, decompressobj

        inflater, found, total = decompressobj(-15), 0, 0
        for chunk in raw:
            if self._is_gzip:
                self._write(chunk)
            rest = chunk
            while rest:
                data = inflater.decompress(rest, _PENDING_BYTES)
                rest = inflater.unconsumed_tail
                total += len(data)
                if total > size_bytes:
                    raise ValueError("it is larger than it says")
                found = crc32(data, found)
                self._diff.update(data)
                if not self._is_gzip:
                    self._write(data)
        if not inflater.eof or inflater.unused_data or total != size_bytes or found != crc:
            raise ValueError("its checksum or size is wrong")
        if self._is_gzip:
            self._write(struct.pack("<II", crc, size_bytes & 0xFFFFFFFF))
        self._pad(size_bytes)

    def packed(
        self,
        path: str,
        pieces: Iterable[tuple[bytes, bytes]],
        size_bytes: int,
        *,
        is_executable: bool = False,
    ) -> None:
        """Add a file to a gzip layer in pieces, each with its part of one raw deflate stream.

        Raises ValueError if the pieces add up to another size.
        """
        if not self._begin(path, size_bytes, is_executable=is_executable):
            return
        self._flush()
        self._write(_GZIP_HEAD)
        from fnpack.oci.inflating import crc32

        crc = total = 0
        for plain, raw in pieces:
            crc, total = crc32(plain, crc), total + len(plain)
            self._diff.update(plain)
            self._write(raw)
        if total != size_bytes:
            raise ValueError(f"{path} changed while it was read")
        self._write(struct.pack("<II", crc, size_bytes & 0xFFFFFFFF))
        self._pad(size_bytes)

    def close(self) -> None:
        """Write the end of the archive. The stream stays open."""
        self._plain(_END)
        self._flush()

    def _begin(self, path: str, size_bytes: int, *, is_executable: bool) -> bool:
        """Write a file's header; False where the path is there already."""
        if path in self._seen:
            return False
        self.folder(path.rpartition("/")[0])
        self._seen.add(path)
        self._plain(_header(path, size_bytes, 0o755 if is_executable else 0o644, self._mtime_s))
        return True

    def _pad(self, size_bytes: int) -> None:
        self._plain(bytes(-size_bytes % _BLOCK))

    def _plain(self, data: bytes) -> None:
        self._diff.update(data)
        if not self._is_gzip:
            self._write(data)
            return
        self._pending.append(data)
        self._pending_bytes += len(data)
        if self._pending_bytes >= _PENDING_BYTES:
            self._flush()

    def _flush(self) -> None:
        """Write what is pending as a gzip member of stored blocks."""
        data = b"".join(self._pending)
        self._pending, self._pending_bytes = [], 0
        if not data:
            return
        from fnpack.oci.inflating import crc32

        self._write(_GZIP_HEAD)
        for start in range(0, len(data), _STORED_MAX):
            block = data[start : start + _STORED_MAX]
            is_last = start + _STORED_MAX >= len(data)
            self._write(struct.pack("<BHH", is_last, len(block), len(block) ^ 0xFFFF) + block)
        self._write(struct.pack("<II", crc32(data), len(data) & 0xFFFFFFFF))

    def _write(self, data: bytes) -> None:
        self._out.write(data)
        self._digest.update(data)
        self.size_bytes += len(data)


def _header(path: str, size_bytes: int, mode: int, mtime_s: int, kind: bytes = _FILE) -> bytes:
    """The header of a file or folder. Most have a short name: those differ from one another in three fields."""
    name = path.encode("utf-8", "surrogateescape") + (b"/" if kind == _FOLDER else b"")
    if len(name) > _SHORT_NAME or size_bytes >= _SMALL_BYTES:
        return _tarfile_header(path, size_bytes, mode, mtime_s, kind)
    head = bytearray(_empty_header(mode, mtime_s, kind))
    head[: len(name)] = name
    head[124:136] = b"%011o\0" % size_bytes
    head[148:156] = b"%06o\0 " % sum(head)
    return bytes(head)


@lru_cache
def _empty_header(mode: int, mtime_s: int, kind: bytes) -> bytes:
    """A header without name and size; its checksum is blank, as it is while it is added up."""
    ids = b"%07o\0%07o\0%07o\0" % (mode, 0, 0)
    fields = bytes(100), ids, bytes(12), b"%011o\0" % mtime_s, b" " * 8, kind, bytes(100), b"ustar  \0"
    return b"".join(fields).ljust(_BLOCK, b"\0")


def _tarfile_header(path: str, size_bytes: int, mode: int, mtime_s: int, kind: bytes) -> bytes:
    import tarfile

    entry = tarfile.TarInfo(path)
    entry.size, entry.mode, entry.mtime, entry.type = size_bytes, mode, mtime_s, kind
    return entry.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")
