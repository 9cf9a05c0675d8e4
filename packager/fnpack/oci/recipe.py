"""What a layer is made of, before it is made: the seam between a plan and the kinds of layers."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import BinaryIO, Protocol

from fnpack.oci.cache import LayerCache, LayerRecord
from fnpack.oci.content import Descriptor, Layer
from fnpack.oci.errors import LayerLost

RECIPE = "io.fnpack.recipe"  # annotations of a layer's descriptor
DIFF_ID = "io.fnpack.diff-id"
_ATTEMPTS = 20
TITLE = "org.opencontainers.image.title"


class Recipe(Protocol):
    """How to make one layer. The same key makes the same bytes."""

    @property
    def title(self) -> str:
        """For people."""

    @property
    def paths(self) -> Sequence[str]:
        """Files and folders of the image, relative, that the layer alone may write to."""

    def find(self, cache: LayerCache) -> tuple[str, Layer | None]:
        """The key, which is a hash of all that decides about the layer's bytes, and the layer if it is known already.

        Reads no input that was read before.
        """

    def make(self, cache: LayerCache) -> Layer:
        """Make the layer. Raises what its inputs deserve, and LayerUnwritable."""

    def known(self, record: LayerRecord, cache: LayerCache) -> Layer:
        """The layer that `make` would make, without its bytes; they are made when they are read."""


class BlobRecipe(ABC):
    """A recipe whose layer is made once and kept in the cache."""

    title: str

    @abstractmethod
    def key(self, cache: LayerCache) -> str:
        """A hash of all that decides about the bytes."""

    @abstractmethod
    def write(self, file: BinaryIO, cache: LayerCache) -> LayerRecord:
        """Write the layer to `file`."""

    @property
    def paths(self) -> Sequence[str]:
        """None: what these layers hold is kept apart by where they put it."""
        return ()

    def find(self, cache: LayerCache) -> tuple[str, Layer | None]:
        """The layer, if it was made before."""
        key = self.key(cache)
        record = cache.record(key)
        return key, None if record is None else self._layer(record, key, cache)

    def known(self, record: LayerRecord, cache: LayerCache) -> Layer:
        """The layer, made when it is opened."""
        return self._layer(record, self.key(cache), cache)

    def make(self, cache: LayerCache) -> Layer:
        """The layer, with its bytes in the cache."""
        key = self.key(cache)
        record = cache.record(key)
        if record is None or cache.blob(record.digest, record.size_bytes) is None:
            with cache.new_file() as (file, path):
                record = self.write(file, cache)
                file.flush()
                cache.keep(path, record.digest)
            cache.remember(key, record)
        return self._layer(record, key, cache)

    def _layer(self, record: LayerRecord, key: str, cache: LayerCache) -> Layer:
        descriptor = annotated(record.descriptor(), key, record.diff_id, self.title)
        return Layer(CachedContent(descriptor, cache, lambda: self.make(cache)), record.diff_id, self.title)


@dataclass(frozen=True, slots=True)
class CachedContent:
    """A layer's bytes in the cache; they are made again if they are gone."""

    descriptor: Descriptor
    cache: LayerCache = field(repr=False, compare=False)
    make: Callable[[], Layer] = field(repr=False, compare=False)

    def open(self, offset: int = 0) -> BinaryIO:
        """A stream of the bytes from `offset` on. Raises LayerLost if they cannot be made again."""
        wanted = self.descriptor
        for _ in range(_ATTEMPTS):  # another build may tidy up between two steps
            path = self.cache.blob(wanted.digest, wanted.size_bytes)
            if path is None:
                made = self.make().descriptor
                if made.digest != wanted.digest:
                    raise LayerLost(
                        f"the layer {wanted.digest[:19]} is gone from the cache, and now made as {made.digest[:19]}",
                        hint="build again: the layer that was made now is taken then",
                    )
                continue
            with suppress(FileNotFoundError):
                file = path.open("rb")
                file.seek(offset)
                return file
        raise LayerLost(
            f"the layer {wanted.digest[:19]} vanishes from the cache {self.cache.folder} again and again"
        )


def annotated(descriptor: Descriptor, key: str, diff_id: str, title: str) -> Descriptor:
    """The descriptor with what a later build needs to know the layer again."""
    notes = {RECIPE: key, DIFF_ID: diff_id, TITLE: title}
    return Descriptor(descriptor.media_type, descriptor.digest, descriptor.size_bytes, notes)


def key_of(*facts: object) -> str:
    """A recipe's key: 32 hex digits of a hash over the facts, in order."""
    return hashlib.sha256("\0".join(map(str, facts)).encode("utf-8", "surrogateescape")).hexdigest()[:32]
