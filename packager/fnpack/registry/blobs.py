"""Reading blobs of a repository: whether one is there, its bytes from any offset, verified against its digest."""

from __future__ import annotations

import io
from hashlib import sha256
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, cast

from fnpack.oci.content import Descriptor
from fnpack.registry.backoff import Backoff
from fnpack.registry.challenges import Scopes, scope
from fnpack.registry.client import Registries, Registry, path_of
from fnpack.registry.errors import DigestMismatch, ImageNotFound, RegistryError
from fnpack.registry.reference import Reference
from fnpack.registry.transport import Response

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_LARGEST_SMALL_BYTES = 8 * 1024 * 1024  # configs are some KB


class Place(NamedTuple):
    """Where blobs go: a repository, and the scopes that its tokens are asked for with."""

    registries: Registries
    registry: Registry
    repository: str
    scopes: Scopes


def has_blob(registry: Registry, repository: str, digest: str, scopes: Scopes) -> bool:
    """Whether the repository has a blob that would be pushed to it."""
    response = registry.request(
        "HEAD",
        path_of(repository, "blobs", digest),
        repository=repository,
        scopes=scopes,
        expect=(200, 404),
        action="a push to",
    )
    response.close()
    return response.status == 200


def read_blob(registries: Registries, reference: Reference, descriptor: Descriptor) -> bytes:
    """A small blob, whole and verified. Raises ImageNotFound, DigestMismatch and the registry's other errors."""
    if descriptor.size_bytes > _LARGEST_SMALL_BYTES:
        raise RegistryError(
            f"`{reference.name}` has a config of {descriptor.size_bytes} bytes; that is none",
            registry=reference.registry,
            repository=reference.repository,
        )
    with open_blob(registries, reference, descriptor) as stream:
        return stream.read()


def open_blob(
    registries: Registries, reference: Reference, descriptor: Descriptor, offset: int = 0
) -> BinaryIO:
    """A blob's bytes from `offset` on, streamed; a connection that breaks off is taken up where it was.

    A stream from the start raises DigestMismatch at its end if the bytes were not those of the digest.
    """
    return cast(
        "BinaryIO", io.BufferedReader(_BlobStream(registries, reference, descriptor, offset), 64 * 1024)
    )


class _BlobStream(io.RawIOBase):
    def __init__(
        self, registries: Registries, reference: Reference, descriptor: Descriptor, offset: int
    ) -> None:
        super().__init__()
        self._registries, self._reference, self._descriptor = registries, reference, descriptor
        self._backoff = Backoff(registries.settings, registries.cancelled)
        self._hash = sha256() if offset == 0 else None
        self._position = offset
        self._response: Response | None = self._request() if offset < descriptor.size_bytes else None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer)[: self._descriptor.size_bytes - self._position]
        if not len(view):
            self._verify()
            return 0
        while True:
            try:
                if self._response is None:
                    self._response = self._request()
                count = self._response.read_into(view)
            except RegistryError as exc:
                self._response = None
                self._backoff.pause(exc)
                continue
            if not count:
                raise self._mismatch(f"has {self._position} bytes")
            if self._hash:
                self._hash.update(view[:count])
            self._position += count
            self._backoff.progressed()
            return count

    def close(self) -> None:
        if self._response is not None:
            self._response.close()
            self._response = None
        super().close()

    def _request(self) -> Response:
        registry, repository = self._registries.of(self._reference), self._reference.repository
        headers = {"Range": f"bytes={self._position}-"} if self._position else {}
        try:
            response = registry.request(
                "GET",
                path_of(repository, "blobs", self._descriptor.digest),
                repository=repository,
                scopes=scope(repository, "pull"),
                expect=(200, 206),
                headers=headers,
            )
        except ImageNotFound as exc:
            raise ImageNotFound(
                f"`{self._reference.name}` has no blob {self._descriptor.digest}",
                registry=registry.name,
                repository=repository,
                hint="The image is broken in its registry; push it again, or choose another tag.",
            ) from exc
        if response.status == 200 and self._position:
            self._skip(response, self._position)
        return response

    def _skip(self, response: Response, count: int) -> None:
        """Read past what is known, of a registry that gives blobs only whole."""
        buffer = memoryview(bytearray(64 * 1024))
        while count:
            read = response.read_into(buffer[: min(count, len(buffer))])
            if not read:
                raise self._mismatch("is shorter than it was")
            count -= read

    def _verify(self) -> None:
        if self._response is not None:
            if self._response.read_into(memoryview(bytearray(1))):
                raise self._mismatch("is longer")
            self._response = None
            if self._hash and f"sha256:{self._hash.hexdigest()}" != self._descriptor.digest:
                raise self._mismatch("has another digest")

    def _mismatch(self, how: str) -> DigestMismatch:
        self.close()
        return DigestMismatch(
            f"blob {self._descriptor.digest} of `{self._reference.name}`, "
            f"{self._descriptor.size_bytes} bytes by its manifest, {how}",
            registry=self._reference.registry,
            repository=self._reference.repository,
            hint="The registry, or something on the way to it, gives wrong bytes. Nothing of them was used.",
        )
