"""From recipes to layers: a recipe says what a layer is made from, its key is the digest of all of that.

A layer whose key is known is not made again, and one whose bytes a registry has is not made at all.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, Protocol

from fnpack.oci.content import LAYER, LAYER_GZIP, Descriptor, FileContent, Layer
from fnpack.oci.layer_cache import Known, LayerCache

if TYPE_CHECKING:
    from fnpack.oci.writer import LayerWriter

FORMAT = "1"  # part of every key: another way of writing layers is another layer


class Recipe(Protocol):
    """What one layer is made from. `write` may raise UnsafeContent; `title` is for people."""

    @property
    def size_bytes(self) -> int:
        """About how much is read: where several layers are made, the largest are begun first."""

    @property
    def key(self) -> str:
        """Hex digits that stand for every input."""

    @property
    def title(self) -> str:
        """`numpy 2.2.6`."""

    @property
    def is_gzip(self) -> bool:
        """Whether the layer is a gzip or a plain tar."""

    def write(self, writer: LayerWriter) -> None:
        """Put the layer's entries into `writer`."""


def key_of(kind: str, **inputs: object) -> str:
    """The key of a recipe of `kind` made from `inputs`, which JSON can hold."""
    text = json.dumps([FORMAT, kind, inputs], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


class LazyContent(NamedTuple):
    """A layer that is known by its digest and made only when somebody wants its bytes."""

    descriptor: Descriptor
    make: Callable[[], FileContent]

    def open(self, offset: int = 0) -> BinaryIO:
        """Make the layer, or take it from the cache, and read it from `offset` on."""
        return self.make().open(offset)


def layer_of(
    recipe: Recipe, cache: LayerCache, *, mtime_s: int = 0, remote: Mapping[str, Known] | None = None
) -> Layer:
    """The recipe's layer: from the cache, or as `remote` (an earlier image) knows it, or made now."""
    key = recipe.key if not mtime_s else f"{recipe.key}-{mtime_s}"
    found = cache.layer(key, recipe.title)
    if found is not None:
        return found
    known = cache.known(key) or (remote or {}).get(key)
    if known is None:
        return make(recipe, cache, key, mtime_s)

    def made() -> FileContent:
        layer = cache.layer(key, recipe.title) or make(recipe, cache, key, mtime_s)
        assert isinstance(layer.content, FileContent)
        return layer.content

    return Layer(LazyContent(known.descriptor, made), known.diff_id, recipe.title)


def is_new(
    recipe: Recipe, cache: LayerCache, *, mtime_s: int = 0, remote: Mapping[str, Known] | None = None
) -> bool:
    """Whether `layer_of` has to make the layer."""
    key = recipe.key if not mtime_s else f"{recipe.key}-{mtime_s}"
    return cache.known(key) is None and key not in (remote or {})


def make(recipe: Recipe, cache: LayerCache, key: str, mtime_s: int = 0) -> Layer:
    """Write the layer into the cache, whatever is there. Raises LayerCacheError, UnsafeContent."""
    from fnpack.oci.writer import LayerWriter

    with cache.writing() as file:
        writer = LayerWriter(file, is_gzip=recipe.is_gzip, mtime_s=mtime_s)
        recipe.write(writer)
        writer.close()
        media_type = LAYER_GZIP if recipe.is_gzip else LAYER
        known = Known(media_type, writer.digest, writer.diff_id, writer.size_bytes)
        cache.keep(file, key, known)
    return Layer(FileContent(known.descriptor, cache.path(known.digest)), known.diff_id, recipe.title)
