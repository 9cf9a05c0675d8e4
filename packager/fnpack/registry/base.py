"""The image that a build stands on: manifest and config by reference, layers as contents that need no download."""

from __future__ import annotations

from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import BinaryIO, NamedTuple

from fnpack.atomic_file import replacing
from fnpack.cache_pruning import used
from fnpack.oci.content import BytesContent, Content, Descriptor, FileContent
from fnpack.registry.blobs import open_blob, read_blob
from fnpack.registry.client import Registries
from fnpack.registry.errors import CacheUnwritable, ManifestInvalid, PlatformMissing
from fnpack.registry.manifests import (
    Child,
    children,
    choose,
    descriptor_of,
    get_manifest,
    head_manifest,
    is_index,
    parsed,
)
from fnpack.registry.reference import Reference

_BLOCK_BYTES = 1024 * 1024


class RemoteContent(NamedTuple):
    """A blob in a registry, read when it is opened and not before: a base image's layer."""

    descriptor: Descriptor
    reference: Reference
    registries: Registries

    def open(self, offset: int = 0) -> BinaryIO:
        """Its bytes from `offset` on, over the network."""
        return open_blob(self.registries, self.reference, self.descriptor, offset)


class RegistryBase:
    """One platform's image behind a reference. What it says is kept on disk by digest, so it is read once."""

    def __init__(self, reference: Reference, registries: Registries, platform: str | None = None) -> None:
        """`platform` is `os/architecture[/variant]`; by default the first that the image is for."""
        self.reference, self.platform = reference, platform
        self._registries = registries
        self._blobs = _Blobs(registries.settings.cache)

    @cached_property
    def resolved(self) -> Reference:
        """The reference with the digest that its tag has now: of the index, where there is one. One request, or none.

        Raises ImageNotFound and the registry's other errors.
        """
        if self.reference.digest:
            return self.reference
        digest = head_manifest(self._registries, self.reference)
        if digest is None:
            content = get_manifest(self._registries, self.reference)
            self._blobs.keep(content)
            digest = content.descriptor.digest
        return self.reference.at(digest)

    def manifest(self) -> BytesContent:
        """The manifest of the platform's image. Raises PlatformMissing, ManifestInvalid, and the registry's errors."""
        return self._manifest

    def platforms(self) -> tuple[Child, ...]:
        """The images of the index that the reference names; none where it names a single image."""
        return children(self._top, self.reference) if is_index(self._top) else ()

    def config(self) -> BytesContent:
        """The image's config, verified. Raises PlatformMissing if it is another platform's."""
        return self._config

    def layers(self) -> tuple[Content, ...]:
        """The image's layers: files, where they are kept here, else read from the registry when they are opened."""
        return tuple(self._blobs.content(one) or self.remote(one) for one in self._layers)

    def holds(self, digest: str) -> bool:
        """Whether one of the image's layers has this digest."""
        return digest in self._digests

    def remote(self, descriptor: Descriptor) -> RemoteContent:
        """A blob of this image where it is."""
        return RemoteContent(descriptor, self.reference, self._registries)

    def open_layer(self, descriptor: Descriptor) -> BinaryIO:
        """A layer's bytes as a file of this machine: fetched and verified once, then kept.

        Raises CacheUnwritable if the disk is full; without a cache, the bytes come over the network each time.
        """
        found = self._blobs.content(descriptor)
        if found is not None:
            return found.open()
        stream = open_blob(self._registries, self.reference, descriptor)
        if self._blobs.folder is None:
            return stream
        with stream:
            return self._blobs.fetch(descriptor, stream)

    @cached_property
    def _top(self) -> BytesContent:
        return self._get(self.resolved)

    @cached_property
    def _manifest(self) -> BytesContent:
        content = self._top
        if is_index(content):
            chosen = choose(content, self.platform, self.reference)
            content = self._get(self.reference.at(chosen.digest))
            if is_index(content):
                raise ManifestInvalid(
                    f"`{self.reference}` is an index of indexes; name the inner one",
                    registry=self.reference.registry,
                    repository=self.reference.repository,
                )
        return content

    @cached_property
    def _config(self) -> BytesContent:
        descriptor = descriptor_of(parsed(self._manifest.data, self.reference).get("config"), self.reference)
        kept = self._blobs.read(descriptor)
        if kept is None:
            kept = BytesContent(descriptor, read_blob(self._registries, self.reference, descriptor))
            self._blobs.keep(kept)
        content = parsed(kept.data, self.reference)
        found = "/".join(str(content[key]) for key in ("os", "architecture", "variant") if content.get(key))
        if (
            self.platform
            and found
            and not (f"{found}/".startswith(f"{self.platform}/") or self._is_near(found))
        ):
            raise PlatformMissing(str(self.reference), self.platform, [found])
        return kept

    def _is_near(self, found: str) -> bool:
        """Whether the image says less of its platform than was asked for: arm64 for arm64/v8."""
        return f"{self.platform}/".startswith(f"{found}/")

    @cached_property
    def _layers(self) -> tuple[Descriptor, ...]:
        entries = parsed(self._manifest.data, self.reference).get("layers")
        return tuple(
            descriptor_of(entry, self.reference) for entry in (entries if isinstance(entries, list) else [])
        )

    @cached_property
    def _digests(self) -> frozenset[str]:
        return frozenset(layer.digest for layer in self._layers)

    def _get(self, reference: Reference) -> BytesContent:
        assert reference.digest is not None
        kept = self._blobs.manifest(reference.digest)
        if kept is not None:
            return kept
        content = get_manifest(self._registries, reference)
        self._blobs.keep(content)
        return content


class _Blobs:
    """Manifests, configs and layers by digest in a folder; without one, nothing is kept."""

    def __init__(self, cache: Path | None) -> None:
        self.folder = cache / "blobs" if cache is not None else None

    def content(self, descriptor: Descriptor) -> FileContent | None:
        path = self._path(descriptor.digest)
        with suppress(OSError):
            if path is not None and path.stat().st_size == descriptor.size_bytes:
                used(path)
                return FileContent(descriptor, path)
        return None

    def read(self, descriptor: Descriptor) -> BytesContent | None:
        found = self.content(descriptor)
        if found is None:
            return None
        with suppress(OSError):
            content = BytesContent.of(found.path.read_bytes(), descriptor.media_type, descriptor.annotations)
            if content.descriptor.digest == descriptor.digest:
                return content
        return None

    def manifest(self, digest: str) -> BytesContent | None:
        """A manifest; its first line is its media type, which is not in all of them."""
        path = self._path(digest, ".manifest")
        if path is None:
            return None
        with suppress(OSError, UnicodeError):
            media_type, _, data = path.read_bytes().partition(b"\n")
            used(path)
            content = BytesContent.of(data, media_type.decode("ascii"))
            if content.descriptor.digest == digest:
                return content
        return None

    def keep(self, content: BytesContent) -> None:
        """Keep a manifest or config; that it cannot be kept is no reason to fail."""
        kind = content.descriptor.media_type
        is_manifest = "manifest" in kind or "index" in kind
        path = self._path(content.descriptor.digest, ".manifest" if is_manifest else "")
        if path is None:
            return
        head = kind.encode("ascii", "replace") + b"\n" if is_manifest else b""
        with suppress(OSError), replacing(path) as file:
            file.write(head + content.data)

    def fetch(self, descriptor: Descriptor, stream: BinaryIO) -> BinaryIO:
        """Keep a verifying stream's bytes, whole or not at all, and open them."""
        path = self._path(descriptor.digest)
        assert path is not None
        try:
            with replacing(path) as file:
                while block := stream.read(_BLOCK_BYTES):
                    file.write(block)
            return path.open("rb")
        except OSError as exc:
            raise CacheUnwritable(
                f"a layer of {descriptor.size_bytes} bytes cannot be kept at `{path.parent}`: {exc.strerror or exc}",
                hint="Make room there, or name another folder in FNPACK_CACHE.",
            ) from exc

    def _path(self, digest: str, ending: str = "") -> Path | None:
        if self.folder is None:
            return None
        algorithm, _, value = digest.partition(":")
        return self.folder / algorithm / f"{value}{ending}"
