"""A large model is streamed from where it lies, and one that did not change is not read again."""

from __future__ import annotations

import gzip
import hashlib
import os
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.packager.oci.conftest import entries

from fnpack.oci import file_digests, file_tar, packed_file, tree_layers
from fnpack.oci import model_layers as module
from fnpack.oci.content import LAYER_GZIP
from fnpack.oci.errors import UnsafeContent
from fnpack.oci.file_digests import chunks
from fnpack.oci.model_layers import model_layers
from fnpack.oci.recipes import layer_of
from fnpack.oci.tree_layers import FilesRecipe

PLACE = "home/site/wwwroot/azureml-models/m/1/model.bin"


@pytest.fixture
def small_limit(monkeypatch) -> None:
    monkeypatch.setattr(module, "LARGE_BYTES", 10_000)


@pytest.fixture
def large(tmp_path: Path, small_limit) -> Path:
    file = tmp_path / "model.bin"
    file.write_bytes(os.urandom(123_457))
    old = time.time() - 60
    os.utime(file, (old, old))
    return file


def test_large_file_is_a_layer_of_its_own(cache, large, tmp_path) -> None:
    note = tmp_path / "notes.json"
    note.write_text("{}")
    layers = model_layers({PLACE: large, f"{PLACE}.json": note}, "model m:1", cache).layers
    assert [layer.title for layer in layers] == ["model m:1", "model m:1 model.bin"]
    assert entries(layers[0])[f"{PLACE}.json"][2] == b"{}"
    found = entries(layers[1])
    assert found[PLACE] == ("file", 0o644, large.read_bytes())
    assert found["home/site/wwwroot/azureml-models"][0] == "folder"
    assert layers[1].diff_id == layers[1].descriptor.digest


@pytest.mark.parametrize("offset", [0, 1, 512, 3000, 60_000, 125_000, -1])
def test_reading_may_begin_anywhere(cache, large, offset) -> None:
    (layer,) = model_layers({PLACE: large}, "m", cache).layers
    with layer.content.open() as stream:
        whole = stream.read()
    start = offset if offset >= 0 else len(whole) - 1
    with layer.content.open(start) as stream:
        assert stream.read() == whole[start:]


def test_unchanged_model_is_not_read(cache, large, monkeypatch) -> None:
    (first,) = model_layers({PLACE: large}, "m", cache).layers
    monkeypatch.setattr(file_tar, "chunks", lambda *_: pytest.fail("the model is read"))
    (second,) = model_layers({PLACE: large}, "m", cache).layers
    assert first.descriptor == second.descriptor


def test_unchanged_small_files_are_not_read_and_a_changed_one_alone(cache, tmp_path, monkeypatch) -> None:
    files = {f"{PLACE}.{number}": tmp_path / f"{number}.bin" for number in range(3)}
    old = time.time() - 60
    for file in files.values():
        file.write_bytes(os.urandom(5000))
        os.utime(file, (old, old))
    read: list[str] = []

    def counted(path: Path, offset: int = 0) -> Iterator[bytes]:
        read.append(path.name)
        return chunks(path, offset)

    monkeypatch.setattr(file_digests, "chunks", counted)
    monkeypatch.setattr(tree_layers, "chunks", counted)
    first = model_layers(files, "m", cache)
    assert sorted(read) == sorted(2 * ["0.bin", "1.bin", "2.bin"])  # for its digest, and into the layer
    read.clear()
    assert model_layers(files, "m", cache) == first
    assert not read
    (tmp_path / "1.bin").write_bytes(b"other")
    os.utime(tmp_path / "1.bin", (old, old))
    assert model_layers(files, "m", cache).layers != first.layers
    assert read[0] == "1.bin"
    assert sorted(read) == ["0.bin", "1.bin", "1.bin", "2.bin"]


def test_small_file_that_changes_during_the_build_is_refused(cache, tmp_path) -> None:
    file = tmp_path / "model.bin"
    file.write_bytes(b"weights")
    recipe = FilesRecipe({PLACE: file}, "m")
    assert recipe.key
    for content in (b"other", b"weights and more"):
        file.write_bytes(content)
        with pytest.raises(UnsafeContent, match="changed while"):
            layer_of(recipe, cache)
    assert not list((cache.folder / "layers").iterdir())


def test_digests_of_the_files_are_those_that_sha256sum_prints(cache, large, tmp_path) -> None:
    note = tmp_path / "notes.json"
    note.write_text("{}")
    for _ in range(2):  # made, and remembered
        found = model_layers({PLACE: large, f"{PLACE}.json": note}, "m", cache)
        assert [(one.path, one.sha256, one.size_bytes) for one in found.files] == [
            (PLACE, hashlib.sha256(large.read_bytes()).hexdigest(), 123_457),
            (f"{PLACE}.json", hashlib.sha256(b"{}").hexdigest(), 2),
        ]


def test_changed_model_is_another_layer(cache, large) -> None:
    (first,) = model_layers({PLACE: large}, "m", cache).layers
    large.write_bytes(os.urandom(123_457))
    (second,) = model_layers({PLACE: large}, "m", cache).layers
    assert first.descriptor.digest != second.descriptor.digest


def test_digest_of_a_file_written_just_now_is_not_trusted_later(cache, large) -> None:
    large.write_bytes(b"a" * 50_000)
    status = large.stat()
    (first,) = model_layers({PLACE: large}, "m", cache).layers
    large.write_bytes(b"b" * 50_000)
    os.utime(large, ns=(status.st_atime_ns, status.st_mtime_ns))
    (second,) = model_layers({PLACE: large}, "m", cache).layers
    assert first.descriptor.digest != second.descriptor.digest


def test_model_that_changes_during_the_build_is_refused(cache, large) -> None:
    (layer,) = model_layers({PLACE: large}, "m", cache).layers
    large.write_bytes(b"other")
    with pytest.raises(UnsafeContent, match="changed while"):
        layer.content.open()


@pytest.fixture
def text(tmp_path: Path, small_limit) -> Path:
    file = tmp_path / "model.txt"
    file.write_text("".join(f"threshold={number / 7}\n" for number in range(200_000)))
    old = time.time() - 60
    os.utime(file, (old, old))
    return file


def test_file_that_compresses_well_is_a_gzip_of_the_same_tar(cache, text) -> None:
    (layer,) = model_layers({PLACE: text}, "m", cache).layers
    assert layer.descriptor.media_type == LAYER_GZIP
    assert layer.descriptor.size_bytes < text.stat().st_size / 2
    assert entries(layer)[PLACE] == ("file", 0o644, text.read_bytes())
    with layer.content.open() as stream:
        tar = gzip.decompress(stream.read())
    assert layer.diff_id == f"sha256:{hashlib.sha256(tar).hexdigest()}"
    plain, _ = file_tar.described([file_tar.TarFile.of(PLACE, text)], 0)
    assert layer.diff_id == plain.diff_id


def test_packed_file_is_neither_read_nor_compressed_again(cache, text, monkeypatch) -> None:
    (first,) = model_layers({PLACE: text}, "m", cache).layers
    for place in (file_tar, packed_file):
        monkeypatch.setattr(place, "chunks", lambda *_: pytest.fail("the model is read"))
    (second,) = model_layers({PLACE: text}, "m", cache).layers
    assert first == second


def test_packed_file_that_an_earlier_image_has_is_not_compressed_until_it_is_wanted(
    tmp_path, cache, text, monkeypatch
) -> None:
    made = model_layers({PLACE: text}, "m", cache)
    elsewhere = type(cache)(tmp_path / "elsewhere")
    with monkeypatch.context() as patched:
        patched.setattr(packed_file, "chunks", lambda *_: pytest.fail("the model is compressed"))
        (known,) = model_layers({PLACE: text}, "m", elsewhere, remote=made.known).layers
    assert known.descriptor == made.layers[0].descriptor
    assert entries(known)[PLACE][2] == text.read_bytes()


def test_packed_file_that_changed_since_it_was_described_is_refused(cache, text, monkeypatch) -> None:
    other = text.read_bytes().replace(b"1", b"2")
    monkeypatch.setattr(packed_file, "chunks", lambda *_: iter([other]))
    with pytest.raises(UnsafeContent, match="changed while"):
        model_layers({PLACE: text}, "m", cache)
    monkeypatch.undo()
    monkeypatch.setattr(module, "LARGE_BYTES", 10_000)
    (layer,) = model_layers({PLACE: text}, "m", cache).layers
    assert entries(layer)[PLACE][2] == text.read_bytes()


@given(st.lists(st.one_of(st.binary(max_size=300), st.just(b"model" * 20_000)), max_size=8))
def test_blocks_make_one_deflate_stream(pieces) -> None:
    packed = list(packed_file._deflated(pieces))
    assert [plain for plain, _ in packed if plain] == [piece for piece in pieces if piece]
    inflater = zlib.decompressobj(-15)
    assert inflater.decompress(b"".join(raw for _, raw in packed)) == b"".join(pieces)
    assert inflater.eof
    assert not inflater.unused_data


def test_many_large_files_share_layers(cache, tmp_path, small_limit) -> None:
    files = {}
    for number in range(7):
        file = tmp_path / f"shard-{number}"
        file.write_bytes(os.urandom(20_000 + number))
        files[f"home/m/{number}/shard"] = file
    found = model_layers(files, "m", cache, most=3)
    assert [len([path for path in entries(layer) if path in files]) for layer in found.layers] == [2, 2, 3]
    assert found.layers[0].title == "m shard and 1 more"
    whole = {
        path: entry[2] for layer in found.layers for path, entry in entries(layer).items() if path in files
    }
    assert whole == {path: file.read_bytes() for path, file in files.items()}
    for layer in found.layers:
        with layer.content.open() as stream:
            tar = stream.read()
        assert layer.diff_id == f"sha256:{hashlib.sha256(tar).hexdigest()}"
        for start in (1, 20_001, 23_000, len(tar) - 1024):
            with layer.content.open(start) as stream:
                assert stream.read() == tar[start:]


def test_fifo_among_the_files_is_refused(cache, tmp_path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UnsafeContent, match="not a file"):
        model_layers({PLACE: tmp_path / "pipe"}, "m", cache)
