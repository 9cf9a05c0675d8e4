"""Base images in files: an OCI layout as a folder or an archive, and what `docker save` writes."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol, cast

from fnpack.oci.base import Base, base_of, diff_ids_of, parsed
from fnpack.oci.base.ranges import RangeContent
from fnpack.oci.content import CONFIG, LAYER, LAYER_GZIP, BytesContent, Content, Descriptor, FileContent
from fnpack.oci.errors import BaseInvalid

if TYPE_CHECKING:
    from tarfile import TarFile, TarInfo

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_LARGEST_JSON_BYTES = 4 << 20
_BLOCK_BYTES = 1 << 20
_NAMES = ("org.opencontainers.image.ref.name", "io.containerd.image.name")
_DEPTH = 4


class _Files(Protocol):
    """A folder or an archive."""

    def find(self, name: str) -> tuple[Path, int, int] | None:
        """File, offset and size of what has this name."""


def file_base(path: Path, platform: str | None = None, name: str | None = None) -> Base:
    """The base image in an OCI layout (folder or .tar) or in an archive of `docker save`.

    `platform` ("linux/arm64") and `name` (a tag) choose where there are several; the first otherwise. Its own name is
    the tag, or the file's name without its folder, which is nobody's business. Raises BaseInvalid.
    """
    if path.is_dir():
        files: _Files = _Folder(path)
    elif path.is_file():
        files = _Archive.of(path)
    else:
        raise BaseInvalid(
            f"there is no base image at {path}", hint="give an OCI layout, or what `docker save` wrote"
        )
    if files.find("index.json") is not None:
        base = base_of(_Layout(files, path, platform, name), name or path.name)
    elif files.find("manifest.json") is not None:
        base = _saved(files, path, name)
    else:
        raise BaseInvalid(
            f"{path} is no OCI layout and no archive of `docker save`: it has neither index.json nor manifest.json"
        )
    if platform and not _is_for(base.platform, platform):
        raise BaseInvalid(
            f"the image in {path} is for {base.platform}, not for {platform}",
            hint="choose another --platform",
        )
    return base


@dataclass(frozen=True, slots=True)
class _Folder:
    path: Path

    def find(self, name: str) -> tuple[Path, int, int] | None:
        file = self.path / name
        return (file, 0, file.stat().st_size) if file.is_file() else None


@dataclass(frozen=True, slots=True)
class _Archive:
    path: Path
    members: Mapping[str, tuple[int, int]]

    @classmethod
    def of(cls, path: Path) -> _Archive:
        import tarfile

        try:
            with tarfile.open(path, "r:") as archive:
                return cls(path, _members(archive))
        except (tarfile.TarError, EOFError, OSError, ValueError) as exc:
            raise BaseInvalid(
                f"{path} cannot be read as an archive: {exc}", hint="unpack it first if it is compressed"
            ) from exc

    def find(self, name: str) -> tuple[Path, int, int] | None:
        found = self.members.get(name)
        return None if found is None else (self.path, *found)


def _members(archive: TarFile) -> dict[str, tuple[int, int]]:
    """Where the files are. Old archives have a layer that is in them twice as a link."""
    found: dict[str, tuple[int, int]] = {}
    links: list[TarInfo] = []
    for member in archive:
        if member.isreg():
            found[member.name.removeprefix("./")] = member.offset_data, member.size
        elif member.issym() or member.islnk():
            links.append(member)
    for link in links:
        folder = link.name.rpartition("/")[0] if link.issym() else ""
        target = _joined(folder, link.linkname)
        if target in found:
            found[link.name.removeprefix("./")] = found[target]
    return found


def _joined(folder: str, name: str) -> str:
    import posixpath

    return posixpath.normpath(posixpath.join(folder, name)).removeprefix("./")


class _Layout:
    """An OCI layout as a base source."""

    def __init__(self, files: _Files, path: Path, platform: str | None, name: str | None) -> None:
        self._files, self._path = files, path
        self._manifest = self._choose(platform, name)
        self._content = parsed(self._manifest.data, str(path), "manifest")

    def manifest(self) -> Content:
        return self._manifest

    def config(self) -> Content:
        return self._blob(_descriptor(self._content.get("config"), self._path))

    def layers(self) -> Sequence[Content]:
        listed = self._content.get("layers")
        return [
            self._blob(_descriptor(one, self._path)) for one in (listed if isinstance(listed, list) else [])
        ]

    def open_layer(self, descriptor: Descriptor) -> BinaryIO:
        return self._blob(descriptor).open()

    def _choose(self, platform: str | None, name: str | None) -> BytesContent:
        index = parsed(_json(self._files, "index.json", self._path), str(self._path), "index")
        for _ in range(_DEPTH):
            entries = index.get("manifests")
            entry = _entry(entries if isinstance(entries, list) else [], platform, name, self._path)
            content = self._json(_descriptor(entry, self._path))
            index = parsed(content.data, str(self._path), "manifest")
            if "manifests" not in index:
                return content
            name = None  # tags are in the outermost index
        raise BaseInvalid(f"{self._path} has indexes in indexes in indexes")

    def _json(self, descriptor: Descriptor) -> BytesContent:
        data = _json(self._files, _place(descriptor), self._path)
        content = BytesContent.of(data, descriptor.media_type)
        if content.descriptor.digest != descriptor.digest:
            raise BaseInvalid(f"{self._path}: {descriptor.digest} has other bytes than its digest says")
        return content

    def _blob(self, descriptor: Descriptor) -> Content:
        found = self._files.find(_place(descriptor))
        if found is None or found[2] != descriptor.size_bytes:
            what = "is not there" if found is None else f"has {found[2]} bytes, not {descriptor.size_bytes}"
            raise BaseInvalid(f"{self._path}: {descriptor.digest} {what}", hint="get the image again")
        path, start, _ = found
        return FileContent(descriptor, path) if start == 0 else RangeContent(descriptor, path, start)


def _place(descriptor: Descriptor) -> str:
    return f"blobs/sha256/{descriptor.digest.removeprefix('sha256:')}"


def _json(files: _Files, name: str, where: Path) -> bytes:
    found = files.find(name)
    if found is None:
        raise BaseInvalid(f"{where} has no {name}", hint="get the image again")
    path, start, size = found
    if size > _LARGEST_JSON_BYTES:
        raise BaseInvalid(f"{where}: {name} has {size} bytes, more than a manifest can have")
    with path.open("rb") as file:
        file.seek(start)
        return file.read(size)


def _entry(entries: Sequence[object], platform: str | None, name: str | None, where: Path) -> object:
    """The manifest that fits name and platform."""
    known = [cast("Mapping[str, object]", one) for one in entries if isinstance(one, Mapping)]
    if name:
        known = [one for one in known if name in _names(one)] or known
    known = [one for one in known if _platform(one) != "unknown/unknown"]
    if not known:
        raise BaseInvalid(f"{where} has no image in it")
    if platform is None:
        return known[0]
    for one in known:
        if not _platform(one) or _is_for(_platform(one), platform):
            return one
    there = ", ".join(sorted({_platform(one) for one in known}))
    raise BaseInvalid(
        f"{where} has no image for {platform}, only for {there}", hint="choose another --platform"
    )


def _is_for(found: str, wanted: str) -> bool:
    """Whether a variant that one of them leaves out is all that differs."""
    return f"{found}/".startswith(f"{wanted}/") or f"{wanted}/".startswith(f"{found}/")


def _names(entry: Mapping[str, object]) -> list[object]:
    notes = entry.get("annotations")
    return [notes.get(key) for key in _NAMES] if isinstance(notes, Mapping) else []


def _platform(entry: Mapping[str, object]) -> str:
    value = entry.get("platform")
    if not isinstance(value, Mapping):
        return ""
    return "/".join(str(value[key]) for key in ("os", "architecture", "variant") if value.get(key))


def _descriptor(entry: object, where: Path) -> Descriptor:
    values = cast("Mapping[str, object]", entry) if isinstance(entry, Mapping) else {}
    kind, digest, size = (values.get(key) for key in ("mediaType", "digest", "size"))
    if not isinstance(digest, str) or not _DIGEST.fullmatch(digest) or not isinstance(size, int) or size < 0:
        raise BaseInvalid(f"{where}: an entry has no SHA-256 digest or no size", hint="get the image again")
    return Descriptor(str(kind), digest, size)


@dataclass(frozen=True, slots=True)
class _Saved:
    """An archive of `docker save` as a base source; it has no manifest of its own."""

    content: BytesContent
    contents: tuple[Content, ...]

    def manifest(self) -> Content:
        return self.content

    def config(self) -> Content:
        return self.content

    def layers(self) -> Sequence[Content]:
        return self.contents

    def open_layer(self, descriptor: Descriptor) -> BinaryIO:
        return next(one for one in self.contents if one.descriptor.digest == descriptor.digest).open()


def _saved(files: _Files, where: Path, name: str | None) -> Base:
    import json

    try:
        images = json.loads(_json(files, "manifest.json", where))
        image = next((one for one in images if name in (one.get("RepoTags") or [])), images[0])
        config_name, layer_names = str(image["Config"]), [str(one) for one in image["Layers"]]
        tags = image.get("RepoTags") or []
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as exc:
        raise BaseInvalid(f"{where}: its manifest.json cannot be read", hint="get the image again") from exc
    config = BytesContent.of(_json(files, config_name, where), CONFIG)
    diff_ids = diff_ids_of(parsed(config.data, str(where), "config"), str(where))
    if len(diff_ids) != len(layer_names):
        raise BaseInvalid(f"{where} has {len(layer_names)} layers, and its config says {len(diff_ids)}")
    contents = tuple(_layer(files, one, diff, where) for one, diff in zip(layer_names, diff_ids, strict=True))
    return base_of(_Saved(config, contents), name or (str(tags[0]) if tags else where.name))


def _layer(files: _Files, name: str, diff_id: str, where: Path) -> Content:
    """A layer: plain, so that its digest is its diff id; or compressed, so that it has to be read for its digest."""
    found = files.find(name)
    if found is None:
        raise BaseInvalid(f"{where}: the layer {name} is not there", hint="get the image again")
    path, start, size = found
    content = RangeContent(Descriptor(LAYER, diff_id, size), path, start)
    with content.open() as stream:
        head = stream.read(2)
        if head != b"\x1f\x8b":
            return content
        digest = hashlib.sha256(head)
        while block := stream.read(_BLOCK_BYTES):
            digest.update(block)
    return RangeContent(Descriptor(LAYER_GZIP, f"sha256:{digest.hexdigest()}", size), path, start)
