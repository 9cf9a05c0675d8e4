"""An image in an OCI layout, a folder or a tar of one: `PATH` or `PATH@sha256:...`."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from fnpack.inspection.errors import NotAnImage
from fnpack.inspection.opened import (
    LARGEST_DOCUMENT_BYTES,
    OpenedImage,
    Sbom,
    check_manifest,
    parsed,
    pick,
    platform_of,
    texts,
)
from fnpack.oci.artifacts import CYCLONEDX
from fnpack.oci.content import Descriptor, digest_of
from fnpack.oci.errors import BaseSourceError

Entry = Mapping[str, object]


class _Files(Protocol):
    def __call__(self, name: str) -> bytes:
        """A small file's bytes. Raises OSError, KeyError, ValueError."""


def open_image(place: str, platform: str | None, insecure: Sequence[str]) -> OpenedImage:
    """Open it. Raises BaseSourceError, NotAnImage."""
    path, at, hexadecimal = place.rpartition("@sha256:")
    path, digest = (path, f"sha256:{hexadecimal}") if at else (place, None)
    try:
        with _files(Path(path)) as read:
            return _Layout(path, read).image(digest, platform)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, tarfile.TarError) as error:
        raise BaseSourceError(
            f"{path} is no OCI layout that can be read: {error}",
            hint="name a folder or file that `fnpack build --output oci-layout`, skopeo or buildah wrote",
        ) from error


@contextmanager
def _files(path: Path) -> Iterator[_Files]:
    if path.is_dir():

        def read_file(name: str) -> bytes:
            _check_size((path / name).stat().st_size, name)
            return (path / name).read_bytes()

        yield read_file
        return
    with tarfile.open(path) as archive:

        def read(name: str) -> bytes:
            for known in (name, f"./{name}"):
                if known in archive.getnames():
                    entry = archive.getmember(known)
                    _check_size(entry.size, name)
                    file = archive.extractfile(entry)
                    if file is not None:
                        return file.read()
            raise KeyError(f"it has no `{name}`")

        yield read


def _check_size(size_bytes: int, name: str) -> None:
    if size_bytes > LARGEST_DOCUMENT_BYTES:
        raise ValueError(f"`{name}` has {size_bytes} bytes")


class _Layout:
    def __init__(self, path: str, read: _Files) -> None:
        self._path, self._read = path, read
        self._entries = _manifests(parsed(read("index.json"), path))

    def image(self, digest: str | None, platform: str | None) -> OpenedImage:
        """The image with this digest, or the first."""
        images = [one for one in self._entries if not one.get("artifactType")]
        if digest is None:
            if not images:
                raise ValueError("its index names no image")
            platforms = [platform_of(_platform(one)) for one in images]
            chosen = pick([one for one in platforms if one], platform)
            found = next((one for one in images if platform_of(_platform(one)) == chosen), images[0])
            digest = str(found["digest"])
        top = self._document(digest)
        inner = {platform_of(_platform(one)): str(one["digest"]) for one in _manifests(top)}
        known = tuple(one for one in inner if one and one != "unknown/unknown")
        manifest, own = top, digest
        if inner:
            own = self._of_platform(inner, pick(known, platform))
            manifest = self._document(own)
        check_manifest(manifest, self._path)
        config_digest = str(_mapping(manifest["config"])["digest"])
        config = self._document(config_digest)
        if not inner and platform and not f"{platform}/".startswith(f"{platform_of(config)}/"):
            self._of_platform({platform_of(config): own}, platform)
        sbom, note = self._sbom(own)
        return OpenedImage(
            "oci-layout",
            f"oci-layout:{self._path}",
            config,
            config_digest,
            tuple(_descriptor(one) for one in _list(manifest["layers"])),
            digest=own,
            index_digest=digest if inner else None,
            platforms=known,
            annotations=texts(manifest.get("annotations")),
            sbom=sbom,
            note=note,
        )

    def _of_platform(self, inner: Mapping[str, str], platform: str | None) -> str:
        from fnpack.registry.errors import PlatformMissing

        if platform is None:
            return next(iter(inner.values()))
        near = [inner[one] for one in inner if f"{one}/".startswith(f"{platform}/")]
        if not near:
            raise PlatformMissing(f"oci-layout:{self._path}", platform, [one for one in inner if one])
        return near[0]

    def _sbom(self, digest: str) -> tuple[Sbom | None, str]:
        """The SBOM that refers to the image, or None and why it cannot be read."""
        try:
            for entry in self._entries:
                manifest = (
                    self._document(str(entry["digest"])) if entry.get("artifactType") == CYCLONEDX else {}
                )
                if _mapping(manifest.get("subject") or {}).get("digest") == digest:
                    blob = _mapping(_list(manifest["layers"])[0])
                    return Sbom(str(entry["digest"]), self._document(str(blob["digest"]))), ""
        except (OSError, ValueError, KeyError, IndexError, TypeError, NotAnImage) as error:
            return None, f"the SBOM cannot be read: {error}"
        return None, ""

    def _document(self, digest: str) -> Mapping[str, object]:
        algorithm, _, value = digest.partition(":")
        if algorithm != "sha256" or not value.isalnum():
            raise ValueError(f"`{digest[:80]}` is no sha256 digest")
        data = self._read(f"blobs/sha256/{value}")
        if digest_of(data) != digest:
            raise ValueError(f"the blob {digest} has another digest")
        return parsed(data, self._path)


def _manifests(index: Mapping[str, object]) -> list[Entry]:
    return [_mapping(one) for one in _list(index.get("manifests") or [])]


def _platform(entry: Entry) -> Entry:
    return _mapping(entry.get("platform") or {})


def _descriptor(entry: object) -> Descriptor:
    found = _mapping(entry)
    size = found["size"]
    if not isinstance(size, int):
        raise TypeError("a layer has no size")
    return Descriptor(str(found["mediaType"]), str(found["digest"]), size)


def _mapping(value: object) -> Entry:
    if not isinstance(value, Mapping):
        raise TypeError("an object is missing")
    return value


def _list(value: object) -> list[object]:
    if not isinstance(value, list):
        raise TypeError("a list is missing")
    return value
