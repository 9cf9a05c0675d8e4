"""Reads what matters of a base image's layers: programs named python, links, and the C library."""

from __future__ import annotations

import re
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, BinaryIO, cast

from fnpack.oci.base import Base
from fnpack.oci.cache import LayerCache
from fnpack.oci.content import Layer
from fnpack.oci.errors import BaseInvalid
from fnpack.oci.recipe import key_of

if TYPE_CHECKING:
    from fnpack.oci.base.python import Libc

_SCHEMA = "base layer 1"
_KIND = "base-layers"
_VERSIONED = re.compile(r"^python(3\.\d{1,2})$")
_INTERESTING = re.compile(
    r"(?P<program>.*(^|/)python3?(\.\d{1,2})?)|(?P<loader>.*(^|/)ld-musl-[^/]+\.so\.1)|(?P<libc>.*(^|/)libc\.so\.6)"
    r"|(?P<older>.*(^|/)libc-2\.\d+\.so)|(?P<deleted>.*(^|/)\.wh\.[^/]+)|(?P<site>.*/python3(\.\d{1,2})?/(site|dist)-packages)"
)
_GLIBC_SAYS = re.compile(rb"stable release version (2\.\d{1,3})")
_GLIBC_FILE = re.compile(r"libc-(2\.\d+)\.so$")
_MUSL_SAYS = re.compile(rb"\x00(1\.\d{1,2}\.\d{1,2})\x00")
_LARGEST_LIBC_BYTES = 32 << 20
_BLOCK_BYTES = 1 << 20
_PACKED_BYTES = 1 << 16  # unpacked, it is a thousand times as much at most
_MOST_LINKS = 20


class BaseTree:
    """The few files of an image that matter here, as its layers leave them: a link has its target, a file is ""."""

    def __init__(self) -> None:
        self._entries: dict[str, str] = {}
        self._libc: dict[str, str] = {}

    @classmethod
    def of(cls, base: Base, cache: LayerCache) -> BaseTree:
        """What the base's layers leave. Raises BaseInvalid for one that cannot be read."""
        tree = cls()
        for layer in base.layers:
            tree._apply(_scanned(base, layer, cache))
        return tree

    def _apply(self, found: Mapping[str, Mapping[str, str]]) -> None:
        for path in found["deleted"]:
            folder, _, name = path.rpartition("/")
            gone = folder if name == ".wh..wh..opq" else f"{folder}/{name.removeprefix('.wh.')}"
            gone = gone.strip("/")
            for kept in (self._entries, self._libc):
                for old in [one for one in kept if one == gone or one.startswith(f"{gone}/") or not gone]:
                    del kept[old]
        self._entries.update(found["entries"])
        self._libc.update(found["libc"])

    def resolve(self, path: str) -> str | None:
        """The file that a path leads to, over links of folders and files; None if there is none."""
        parts, done = path.strip("/").split("/"), ""
        for _ in range(_MOST_LINKS):
            for number, part in enumerate(parts):
                here = f"{done}/{part}".strip("/")
                link = self._entries.get(here)
                if link:
                    rest = parts[number + 1 :]
                    start = [] if link.startswith("/") else [one for one in done.split("/") if one]
                    parts, done = _normal([*start, *link.split("/"), *rest]), ""
                    break
                done = here
            else:
                return done if done in self._entries else None
        return None

    def version(self, program: str) -> str | None:
        """The version in a program's name; for a `python3` that is a file of its own, the one that stands beside it."""
        folder, _, name = program.rpartition("/")
        if own := _VERSIONED.match(name):
            return own[1]
        beside = {
            match[1]
            for path in self._entries
            if path.rpartition("/")[0] == folder and (match := _VERSIONED.match(path.rpartition("/")[2]))
        }
        return beside.pop() if len(beside) == 1 else None

    def site(self, program: str, version: str) -> str | None:
        """Where the Python's own packages are."""
        prefix = program.rpartition("/bin/")[0]
        for lib in (f"{prefix}/lib", "usr/local/lib", "usr/lib"):
            for name in (
                f"python{version}/site-packages",
                f"python{version}/dist-packages",
                "python3/dist-packages",
            ):
                if f"{lib}/{name}".lstrip("/") in self._entries:
                    return f"/{lib}/{name}".replace("//", "/")
        return None

    def libc(self) -> tuple[Libc | None, tuple[int, int] | None]:
        """The C library and its version, as far as it is known."""
        kinds = {kind.partition(" ")[0] for kind in self._libc.values()}
        kind = cast("Libc", "musl" if kinds == {"musl"} else "glibc" if "glibc" in kinds else None)
        versions = [
            text for text in self._libc.values() if kind and text.startswith(f"{kind} ") and text[-1] != " "
        ]
        if not versions:
            return kind, None
        major, minor = versions[0].partition(" ")[2].split(".")[:2]
        return kind, (int(major), int(minor))


def _normal(parts: list[str]) -> list[str]:
    out: list[str] = []
    for part in parts:
        if part == "..":
            out = out[:-1]
        elif part not in ("", "."):
            out.append(part)
    return out


def _scanned(base: Base, layer: Layer, cache: LayerCache) -> Mapping[str, Mapping[str, str]]:
    """What matters in one layer, kept by its diff id, which is a digest of its content."""
    key = key_of(_SCHEMA, layer.diff_id)
    kept = cache.note(_KIND, key)
    if isinstance(kept, dict):
        return kept
    with base.open_layer(layer) as stream:
        found = _scan(stream, base.name, layer)
    cache.write_note(_KIND, key, found)
    return found


def _scan(stream: BinaryIO, name: str, layer: Layer) -> dict[str, dict[str, str]]:
    entries: dict[str, str] = {}
    libc: dict[str, str] = {}
    deleted: dict[str, str] = {}
    kind = layer.descriptor.media_type
    if kind.endswith("zstd"):
        raise BaseInvalid(
            f"the layers of `{name}` are compressed with zstd, which this Python does not read",
            hint="say which Python it has with --python-version",
        )
    try:
        with tarfile.open(
            fileobj=cast("BinaryIO", _Plain(stream)), mode="r|", bufsize=_BLOCK_BYTES
        ) as archive:
            for member in archive:
                path = member.name.removeprefix("./").strip("/")
                is_link = member.issym()
                match = _INTERESTING.fullmatch(path)
                if match is None and not (is_link and path.count("/") <= 3):
                    continue
                if match and match["deleted"]:
                    deleted[path] = ""
                elif match and (match["loader"] or match["libc"] or match["older"]) and not is_link:
                    libc[path] = _libc_of(match, archive.extractfile(member) if member.isreg() else None)
                else:
                    target = member.linkname if is_link else f"/{member.linkname}" if member.islnk() else ""
                    entries[path] = target
    except (tarfile.TarError, EOFError, OSError, ValueError, zlib.error) as exc:
        raise BaseInvalid(
            f"the layer {layer.descriptor.digest[:19]} of `{name}` cannot be read: {exc}",
            hint="get the base image again",
        ) from exc
    return {"entries": entries, "libc": libc, "deleted": deleted}


def _libc_of(match: re.Match[str], file: object) -> str:
    data = cast("BinaryIO", file).read(_LARGEST_LIBC_BYTES) if file is not None else b""
    if match["loader"]:
        said = _MUSL_SAYS.search(data)
        return f"musl {said[1].decode() if said else ''}"
    named = _GLIBC_FILE.search(match.string)
    said = _GLIBC_SAYS.search(data)
    return f"glibc {named[1] if named else said[1].decode() if said else ''}"


class _Plain:
    """A layer's uncompressed bytes, whatever way it is compressed; several gzip members follow each other."""

    def __init__(self, stream: BinaryIO) -> None:
        self._blocks = self._inflated(stream)
        self._waiting = bytearray()

    def read(self, size: int) -> bytes:
        while len(self._waiting) < size and (block := next(self._blocks, None)) is not None:
            self._waiting += block
        data = bytes(self._waiting[:size])
        del self._waiting[:size]
        return data

    def _inflated(self, stream: BinaryIO) -> Iterator[bytes]:
        block = stream.read(_PACKED_BYTES)
        if block[:2] != b"\x1f\x8b":
            while block:
                yield block
                block = stream.read(_PACKED_BYTES)
            return
        inflater = zlib.decompressobj(zlib.MAX_WBITS | 16)
        while block:
            yield inflater.decompress(block)
            block = inflater.unused_data
            if inflater.eof:
                inflater = zlib.decompressobj(zlib.MAX_WBITS | 16)
            block = block or stream.read(_PACKED_BYTES)
