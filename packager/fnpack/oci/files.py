"""Layers of files as they are: models, the app, a folder. They are streamed from where the files are, not copied.

Such a layer is a plain tar by default, so that its digest is its diff id and depends on no compressor. It can be
compressed with this machine's zlib instead; then another zlib may give another digest, of the same diff id.
"""

from __future__ import annotations

import hashlib
import io
import os
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Literal, cast

from fnpack.oci import tar
from fnpack.oci.cache import LayerCache, LayerRecord
from fnpack.oci.content import LAYER, BytesContent, Descriptor, Layer, digest_of
from fnpack.oci.digests import BLOCK_BYTES, Aside, known_digest, remember_digest
from fnpack.oci.errors import FileChanged, FileRefused, PlanInvalid
from fnpack.oci.names import fault, folders_of, shown
from fnpack.oci.recipe import CachedContent, annotated, key_of

Compression = Literal["none", "auto"]
_SCHEMA = "files 1"
_SMALL_BYTES = 8 << 20  # a layer up to this size is kept in memory: it is read faster than looked up


@dataclass(frozen=True, slots=True)
class FileEntry:
    """A file of a layer: `source` on this machine, or `data`, or a symbolic `link`; or an empty folder.

    `path` is relative to the image's root.
    """

    path: str
    source: Path | None = None
    data: bytes = field(default=b"", repr=False)
    is_executable: bool = False
    link: str | None = None
    is_folder: bool = False


@dataclass(frozen=True, slots=True)
class _Source:
    """A file's bytes, as they were when the layer was planned."""

    path: Path
    status: os.stat_result

    @property
    def size_bytes(self) -> int:
        return self.status.st_size


_Segment = bytes | _Source


@dataclass(frozen=True, slots=True)
class FilesRecipe:
    """A layer of files. `compression` "auto" compresses where a probe says that it is worth it.

    `is_lasting` says that the files will be there at the next build, so that what they contain is worth remembering.
    """

    title: str
    entries: tuple[FileEntry, ...] = field(repr=False)
    compression: Compression = "none"
    is_lasting: bool = True

    def __post_init__(self) -> None:
        seen: set[str] = set()
        for entry in self.entries:
            if (what := fault(entry.path)) is not None:
                raise FileRefused(
                    f"{self.title}: `{shown(entry.path)}` {what}", hint="rename it, or leave it out"
                )
            if entry.path in seen:
                raise PlanInvalid(f"{self.title}: `{shown(entry.path)}` is given twice")
            seen.add(entry.path)
        if clash := next((folder for folder in folders_of(list(seen)) if folder in seen), None):
            raise PlanInvalid(f"{self.title}: `{shown(clash)}` is both a file and a folder")

    @property
    def paths(self) -> Sequence[str]:
        """The files."""
        return [entry.path for entry in self.entries]

    def find(self, cache: LayerCache) -> tuple[str, Layer | None]:
        """The layer, for which files that are not known are read once; compressed, only if it was made before."""
        segments = self.segments()
        is_plain = self.compression == "none"
        if is_plain and sum(map(_size, segments)) <= _SMALL_BYTES:
            return self._in_memory(segments)
        if is_plain and not self.is_lasting:
            digest = _hash(segments, None)[0]
            key = key_of(_SCHEMA, digest)
            return key, self._layer(_plain(segments, digest), key, segments, cache)
        read, digests = None, _known(segments, cache)
        if digests is None:
            read, digests = _hash(segments, cache)
        key = self._key(digests)
        record = cache.record(key)
        if record is None and is_plain:
            record = _plain(segments, read or _hash(segments, cache)[0])
            cache.remember(key, record)
        return key, None if record is None else self._layer(record, key, segments, cache)

    def known(self, record: LayerRecord, cache: LayerCache) -> Layer:
        """The layer, read or compressed when it is opened."""
        key, found = self.find(cache)
        return found or self._layer(record, key, self.segments(), cache)

    def make(self, cache: LayerCache) -> Layer:
        """The layer, compressed into the cache where that is worth it. Raises FileChanged, LayerUnwritable."""
        key, found = self.find(cache)
        if found is not None and self.compression == "none":
            return found
        from fnpack.oci.packed import compress, is_worth_it

        segments = self.segments()
        if is_worth_it(_probe(segments)):
            with cache.new_file() as (file, path):
                record = compress(_bytes(segments), file)
                file.flush()
                cache.keep(path, record.digest)
        else:
            record = _plain(segments, _hash(segments, cache)[0])
        cache.remember(key, record)
        return self._layer(record, key, segments, cache)

    def _in_memory(self, segments: tuple[_Segment, ...]) -> tuple[str, Layer]:
        data = b"".join(_bytes(segments))
        digest = digest_of(data)
        key = key_of(_SCHEMA, digest)
        descriptor = annotated(Descriptor(LAYER, digest, len(data)), key, digest, self.title)
        return key, Layer(BytesContent(descriptor, data), digest, self.title)

    def _layer(
        self, record: LayerRecord, key: str, segments: tuple[_Segment, ...], cache: LayerCache
    ) -> Layer:
        descriptor = annotated(record.descriptor(), key, record.diff_id, self.title)
        if record.media_type == LAYER:
            return Layer(FilesContent(descriptor, segments), record.diff_id, self.title)
        return Layer(CachedContent(descriptor, cache, lambda: self.make(cache)), record.diff_id, self.title)

    def segments(self) -> tuple[_Segment, ...]:
        """The tar, with files as places to read from."""
        ordered = sorted(self.entries, key=lambda entry: entry.path)
        waiting = [
            tar.header(path, kind=tar.FOLDER, mode=0o755) for path in folders_of([e.path for e in ordered])
        ]
        segments: list[_Segment] = []
        for entry in ordered:
            if entry.is_folder:
                waiting.append(tar.header(entry.path, kind=tar.FOLDER, mode=0o755))
                continue
            if entry.link is not None:
                waiting.append(tar.header(entry.path, kind=tar.SYMLINK, mode=0o777, link=entry.link))
                continue
            mode = 0o755 if entry.is_executable else 0o644
            source = None if entry.source is None else _Source(entry.source, _status(entry.source))
            size = len(entry.data) if source is None else source.size_bytes
            waiting.append(tar.header(entry.path, size_bytes=size, mode=mode))
            if source is None:
                waiting.append(entry.data)
            elif size:
                segments += (b"".join(waiting), source)
                waiting = []
            waiting.append(tar.padding(size))
        return (*segments, b"".join(waiting) + tar.END)

    def _key(self, digests: dict[Path, str]) -> str:
        facts: list[object] = [_SCHEMA]
        if self.compression != "none":
            from fnpack.oci.packed import compressor_name

            facts.append(compressor_name())
        for entry in sorted(self.entries, key=lambda entry: entry.path):
            content = digest_of(entry.data) if entry.source is None else digests.get(entry.source, "empty")
            facts += (entry.path, entry.is_executable, entry.is_folder, entry.link, content)
        return key_of(*facts)


def plain_tar(entries: Sequence[FileEntry], file: BinaryIO) -> LayerRecord:
    """Write the layer of the entries to `file`. Raises FileRefused, FileChanged."""
    segments = FilesRecipe("folder", tuple(entries)).segments()
    digest = hashlib.sha256()
    for block in _bytes(segments):
        digest.update(block)
        file.write(block)
    return _plain(segments, f"sha256:{digest.hexdigest()}")


@dataclass(frozen=True, slots=True)
class FilesContent:
    """A plain tar, read from the files when it is opened."""

    descriptor: Descriptor
    segments: tuple[_Segment, ...] = field(repr=False, compare=False)

    def open(self, offset: int = 0) -> BinaryIO:
        """A stream of the bytes from `offset` on. Raises FileChanged while it is read, if a file is another by then."""
        return cast("BinaryIO", io.BufferedReader(_TarStream(self.segments, offset), BLOCK_BYTES))


class _TarStream(io.RawIOBase):
    """Segments one after the other."""

    def __init__(self, segments: tuple[_Segment, ...], offset: int) -> None:
        super().__init__()
        self._blocks = _bytes(segments, offset)
        self._block = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        target = memoryview(cast("bytearray", buffer))
        while not self._block:
            block = next(self._blocks, None)
            if block is None:
                return 0
            self._block = memoryview(block)
        count = min(len(target), len(self._block))
        target[:count] = self._block[:count]
        self._block = self._block[count:]
        return count

    def close(self) -> None:
        self._blocks.close()
        super().close()


def _status(path: Path) -> os.stat_result:
    try:
        return path.stat()
    except OSError as exc:
        raise FileChanged(f"{path} cannot be read: {exc.strerror}") from exc


def _size(segment: _Segment) -> int:
    return segment.size_bytes if isinstance(segment, _Source) else len(segment)


def _bytes(segments: tuple[_Segment, ...], offset: int = 0) -> Generator[bytes, None, None]:
    """The tar from `offset` on, a block at a time."""
    for segment in segments:
        size = _size(segment)
        if offset >= size:
            offset -= size
            continue
        if isinstance(segment, _Source):
            yield from _read(segment, offset)
        else:
            yield segment[offset:]
        offset = 0


def _read(source: _Source, offset: int = 0) -> Iterator[bytes]:
    """A file's bytes, as long as it is the one that was planned. Raises FileChanged."""
    left = source.size_bytes - offset
    try:
        with source.path.open("rb", buffering=0) as file:
            file.seek(offset)
            while left:
                block = file.read(min(left, BLOCK_BYTES))
                if not block:
                    break
                left -= len(block)
                yield block
            status = os.fstat(file.fileno())
    except OSError as exc:
        raise FileChanged(f"{source.path} cannot be read: {exc.strerror}") from exc
    planned = source.status
    if left or (status.st_size, status.st_mtime_ns) != (planned.st_size, planned.st_mtime_ns):
        raise FileChanged(f"{source.path} was written to while it was read")


def _known(segments: tuple[_Segment, ...], cache: LayerCache) -> dict[Path, str] | None:
    """What the files contain, or None if one of them has to be read for it."""
    found: dict[Path, str] = {}
    for one in segments:
        if isinstance(one, _Source):
            digest = known_digest(one.path, one.status, cache)
            if digest is None:
                return None
            found[one.path] = digest
    return found


def _hash(segments: tuple[_Segment, ...], cache: LayerCache | None) -> tuple[str, dict[Path, str]]:
    """The tar's digest and each file's, all from one reading; the files' are remembered in `cache`."""
    whole, found = hashlib.sha256(), {}
    for segment in segments:
        if not isinstance(segment, _Source):
            whole.update(segment)
            continue
        at_ns = time.time_ns()
        with Aside() as own:
            for block in _read(segment):
                own.update(block)
                whole.update(block)
        found[segment.path] = own.hexdigest()
        if cache is not None:
            remember_digest(segment.path, segment.status, found[segment.path], at_ns, cache)
    return f"sha256:{whole.hexdigest()}", found


def _plain(segments: tuple[_Segment, ...], digest: str) -> LayerRecord:
    return LayerRecord(LAYER, digest, sum(map(_size, segments)), digest)


def _probe(segments: tuple[_Segment, ...]) -> bytes:
    from fnpack.oci.packed import PROBE_BYTES

    largest = max(segments, key=_size)
    if isinstance(largest, bytes):
        return largest[:PROBE_BYTES]
    try:
        with largest.path.open("rb") as file:
            return file.read(PROBE_BYTES)
    except OSError as exc:
        raise FileChanged(f"{largest.path} cannot be read: {exc.strerror}") from exc
