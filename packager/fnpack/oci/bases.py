"""Base images that need no registry: an OCI layout, a `docker save` archive, or the Docker Engine's own store."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, Protocol, cast

from fnpack.oci.content import CONFIG, LAYER, BytesContent, Content, Descriptor, FileContent
from fnpack.oci.errors import BaseSourceError

if TYPE_CHECKING:
    import tarfile


class BaseSource(Protocol):
    """An image to build on. Also `fnpack.registry.RegistryBase` is one."""

    def config(self) -> BytesContent:
        """The image's config."""

    def layers(self) -> tuple[Content, ...]:
        """Its layers, from the lowest on."""

    def open_layer(self, descriptor: Descriptor) -> BinaryIO:
        """A layer's bytes."""


class LayoutBase:
    """The image in an OCI layout folder; `digest` is its manifest's. Raises BaseSourceError."""

    def __init__(self, folder: Path, platform: str | None = None) -> None:
        self.folder, self.digest = folder, ""
        try:
            index = json.loads((folder / "index.json").read_bytes())
            manifest = self._manifest(index, platform)
            self._config = self._content(manifest["config"])
            self._layers = tuple(self._content(entry) for entry in manifest["layers"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BaseSourceError(
                f"{folder} is no OCI layout that can be read: {error}",
                hint="name a folder that `fnpack build --output oci-layout`, skopeo or buildah wrote",
            ) from error

    def config(self) -> BytesContent:
        """The image's config."""
        return BytesContent(self._config.descriptor, self._config.path.read_bytes())

    def layers(self) -> tuple[Content, ...]:
        """Its layers, from the lowest on."""
        return self._layers

    def open_layer(self, descriptor: Descriptor) -> BinaryIO:
        """A layer's bytes."""
        return self._path(descriptor.digest).open("rb")

    def _manifest(self, index: Mapping[str, object], platform: str | None) -> dict[str, list[object]]:
        entries = index["manifests"]
        if not isinstance(entries, list) or not entries:
            raise ValueError("its index is empty")
        chosen = next((one for one in entries if platform and _platform(one) == platform), entries[0])
        self.digest = str(chosen["digest"])
        found: dict[str, list[object]] = json.loads(self._path(self.digest).read_bytes())
        return self._manifest(found, platform) if "manifests" in found else found

    def _content(self, entry: object) -> FileContent:
        if not isinstance(entry, Mapping):
            raise TypeError("a descriptor is no object")
        descriptor = Descriptor(str(entry["mediaType"]), str(entry["digest"]), int(entry["size"]))
        return FileContent(descriptor, self._path(descriptor.digest))

    def _path(self, digest: str) -> Path:
        algorithm, _, value = digest.partition(":")
        if algorithm != "sha256" or not value.isalnum():
            raise ValueError(f"`{digest[:80]}` is no sha256 digest")
        return self.folder / "blobs" / algorithm / value


class ArchiveBase:
    """The first image in an archive that `docker save` wrote. Raises BaseSourceError."""

    def __init__(self, file: Path) -> None:
        import tarfile

        self.file = file
        try:
            with tarfile.open(file) as archive:
                entry = json.load(_extract(archive, "manifest.json"))[0]
                data = _extract(archive, entry["Config"]).read()
                diff_ids = json.loads(data)["rootfs"]["diff_ids"]
                self._layers = tuple(
                    _inside(file, archive, name, diff_id)
                    for name, diff_id in zip(entry["Layers"], diff_ids, strict=True)
                )
            self._config = BytesContent.of(data, CONFIG)
        except (OSError, ValueError, KeyError, IndexError, TypeError, tarfile.TarError) as error:
            raise BaseSourceError(
                f"{file} is no archive of an image: {error}", hint="name a file that `docker save` wrote"
            ) from error

    def config(self) -> BytesContent:
        """The image's config."""
        return self._config

    def layers(self) -> tuple[Content, ...]:
        """Its layers, from the lowest on."""
        return self._layers

    def open_layer(self, descriptor: Descriptor) -> BinaryIO:
        """A layer's bytes."""
        return next(one for one in self._layers if one.descriptor.digest == descriptor.digest).open()


class _Inside(NamedTuple):
    """A layer inside an archive, read where it lies."""

    descriptor: Descriptor
    file: Path
    start: int

    def open(self, offset: int = 0) -> BinaryIO:
        """The layer's bytes from `offset` on."""
        part = _Part(self.file, self.start + offset, self.descriptor.size_bytes - offset)
        return io.BufferedReader(cast("io.FileIO", part))


class _Part(io.RawIOBase):
    def __init__(self, file: Path, start: int, size_bytes: int) -> None:
        self._file, self._left = file.open("rb"), max(0, size_bytes)
        self._file.seek(start)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        data = self._file.read(min(len(buffer), self._left))
        self._left -= len(data)
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._file.close()
        super().close()


def _inside(file: Path, archive: tarfile.TarFile, name: str, diff_id: str) -> _Inside:
    entry = archive.getmember(name)
    if entry.issym():  # a layer that stands twice in the archive
        entry = archive.getmember(str((Path(name).parent / entry.linkname).as_posix()))
    return _Inside(Descriptor(LAYER, diff_id, entry.size), file, entry.offset_data)


def _extract(archive: tarfile.TarFile, name: str) -> BinaryIO:
    found = archive.extractfile(name)
    if found is None:
        raise ValueError(f"`{name}` is not a file in it")
    return found  # type: ignore[return-value]


def _platform(entry: Mapping[str, object]) -> str:
    platform = entry.get("platform")
    if not isinstance(platform, Mapping):
        return ""
    return "/".join(str(platform[key]) for key in ("os", "architecture", "variant") if platform.get(key))
