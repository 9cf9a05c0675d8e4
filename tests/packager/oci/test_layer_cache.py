"""A layer that was made is not made again; nothing half-written is ever taken for one."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest
from tests.packager.oci.conftest import entries

from fnpack.oci.content import LAYER
from fnpack.oci.errors import LayerCacheError
from fnpack.oci.layer_cache import Known, LayerCache
from fnpack.oci.recipes import key_of, layer_of


@dataclass
class Counting:
    text: bytes
    made: list[int] = field(default_factory=list)
    title: str = "test"
    is_gzip: bool = True
    size_bytes: int = 0

    @property
    def key(self) -> str:
        return key_of("test", text=self.text.decode())

    def write(self, writer) -> None:
        self.made.append(1)
        writer.file("a.txt", self.text)


def test_second_time_is_read_from_the_cache(cache) -> None:
    recipe = Counting(b"one")
    first, second = layer_of(recipe, cache), layer_of(recipe, cache)
    assert (first.descriptor, first.diff_id, len(recipe.made)) == (second.descriptor, second.diff_id, 1)


def test_bytes_that_are_gone_are_made_only_when_somebody_reads_them(cache) -> None:
    recipe = Counting(b"one")
    cache.path(layer_of(recipe, cache).descriptor.digest).unlink()
    layer = layer_of(recipe, cache)
    assert len(recipe.made) == 1
    assert entries(layer)["a.txt"][2] == b"one"
    assert len(recipe.made) == 2


def test_what_an_earlier_image_knows_is_not_made(cache, tmp_path) -> None:
    recipe = Counting(b"one")
    found = layer_of(recipe, LayerCache(tmp_path / "other"))
    known = Known(
        found.descriptor.media_type, found.descriptor.digest, found.diff_id, found.descriptor.size_bytes
    )
    layer = layer_of(recipe, cache, remote={recipe.key: known})
    assert (layer.descriptor.digest, len(recipe.made)) == (found.descriptor.digest, 1)


@pytest.mark.parametrize("content", [b"", b"short"])
def test_cut_off_layer_is_made_again(cache, content) -> None:
    recipe = Counting(b"one")
    cache.path(layer_of(recipe, cache).descriptor.digest).write_bytes(content)
    assert entries(layer_of(recipe, cache))["a.txt"][2] == b"one"


def test_note_that_cannot_be_read_counts_as_none(cache) -> None:
    recipe = Counting(b"one")
    layer_of(recipe, cache)
    (cache.folder / "recipes" / recipe.key).write_text("{")
    assert cache.known(recipe.key) is None
    assert entries(layer_of(recipe, cache))["a.txt"][2] == b"one"


def test_builds_at_once_share_a_cache(cache) -> None:
    recipes = [Counting(str(number % 5).encode() * 50_000) for number in range(40)]
    with ThreadPoolExecutor(8) as pool:
        layers = list(pool.map(lambda recipe: layer_of(recipe, cache), recipes))
    for recipe, layer in zip(recipes, layers, strict=True):
        assert entries(layer)["a.txt"][2] == recipe.text
    assert not list((cache.folder / "layers").glob(".new-*"))


def test_failure_leaves_nothing_behind(cache) -> None:
    class Failing(Counting):
        def write(self, writer) -> None:
            writer.file("a.txt", b"x" * 5_000_000)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        layer_of(Failing(b"one"), cache)
    assert list((cache.folder / "layers").iterdir()) == []


def test_full_disk_is_told_with_the_folder(cache, monkeypatch) -> None:
    class Full(Counting):
        def write(self, writer) -> None:
            raise OSError(28, "No space left on device")

    with pytest.raises(LayerCacheError, match="No space left") as caught:
        layer_of(Full(b"one"), cache)
    assert str(cache.folder) in str(caught.value)
    assert "FNPACK_CACHE" in str(caught.value.hint)


def test_folder_that_is_a_file_is_told(tmp_path) -> None:
    (tmp_path / "cache").write_text("")
    with pytest.raises(LayerCacheError, match="cannot be kept"):
        layer_of(Counting(b"one"), LayerCache(tmp_path / "cache"))


def test_layers_used_longest_ago_are_pruned_first(cache) -> None:
    layers = [layer_of(Counting(bytes([65 + number]) * 1000), cache) for number in range(3)]
    now = time.time()
    for age, layer in zip((30, 10, 20), layers, strict=True):
        os.utime(cache.path(layer.descriptor.digest), (now - age, now - age))
    assert cache.prune(keep_bytes=layers[0].descriptor.size_bytes) == 2
    assert [cache.path(layer.descriptor.digest).exists() for layer in layers] == [False, True, False]


def test_media_type_says_what_the_bytes_are(cache) -> None:
    recipe = Counting(b"one", is_gzip=False)
    assert layer_of(recipe, cache).descriptor.media_type == LAYER
