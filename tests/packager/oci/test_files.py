from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fnpack.oci import digests
from fnpack.oci.cache import LayerCache
from fnpack.oci.content import LAYER, LAYER_GZIP
from fnpack.oci.errors import FileChanged, FileRefused, PlanInvalid
from fnpack.oci.files import FileEntry, FilesRecipe
from fnpack.oci.names import fault, folders_of
from layer_files import layer_bytes, layer_files, layer_tar

LARGE = 9 << 20  # beyond what is kept in memory


def old(path: Path, data: bytes) -> Path:
    """A file that was written long ago, as far as its time of change can be set."""
    path.write_bytes(data)
    os.utime(path, ns=(10**18, 10**18))
    return path


@pytest.fixture
def trusting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Takes files that were changed just now for old ones: a test does not wait two seconds."""
    monkeypatch.setattr(digests, "_SURE_NS", -(10**12))


@given(st.dictionaries(st.text("abc/", min_size=1, max_size=8), st.binary(max_size=700), max_size=6))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_layer_holds_its_files_or_says_why_not(cache: LayerCache, files: dict[str, bytes]) -> None:
    entries = tuple(FileEntry(path, data=data) for path, data in files.items())
    is_plain = not any(fault(path) for path in files)
    if not is_plain or set(folders_of(list(files))) & set(files):
        with pytest.raises((FileRefused, PlanInvalid), match="`"):
            FilesRecipe("some", entries)
    else:
        recipe = FilesRecipe("some", entries)
        assert layer_files(recipe.make(cache)) == files
        assert recipe.find(cache)[0] == FilesRecipe("some", entries[::-1]).find(cache)[0]


def test_modes_and_links_are_kept_and_times_are_not(tmp_path: Path, cache: LayerCache) -> None:
    tool = old(tmp_path / "tool", b"#!/bin/sh\n")
    entries = (FileEntry("a/tool", tool, is_executable=True), FileEntry("a/link", link="tool"))
    data = layer_tar(FilesRecipe("some", entries).make(cache))
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        assert [(one.name, oct(one.mode), one.mtime, one.linkname) for one in archive] == [
            ("a", "0o755", 0, ""),
            ("a/link", "0o777", 0, "tool"),
            ("a/tool", "0o755", 0, ""),
        ]


def test_a_large_layer_is_a_plain_tar_that_can_be_read_from_anywhere(
    tmp_path: Path, cache: LayerCache
) -> None:
    content = os.urandom(LARGE)
    entries = (
        FileEntry("m/small", data=b"x" * 700),
        FileEntry("m/model.bin", old(tmp_path / "model.bin", content)),
    )
    layer = FilesRecipe("model", entries).make(cache)
    assert layer.descriptor.media_type == LAYER
    assert layer.descriptor.digest == layer.diff_id
    whole = layer_bytes(layer)
    assert layer_files(layer) == {"m/small": b"x" * 700, "m/model.bin": content}
    for offset in (0, 1, 511, 512, 1023, 5_000_000, len(whole) - 1, len(whole), len(whole) + 5):
        with layer.content.open(offset) as stream:
            assert stream.read(100) == whole[offset : offset + 100]


@pytest.mark.usefixtures("trusting")
def test_an_unchanged_file_is_not_read_again(
    tmp_path: Path, cache: LayerCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = old(tmp_path / "model.bin", os.urandom(LARGE))
    first = FilesRecipe("model", (FileEntry("m/model.bin", path),)).find(cache)
    monkeypatch.setattr(Path, "open", lambda *_, **__: pytest.fail("a file is read"))
    again = FilesRecipe("model", (FileEntry("m/model.bin", path),)).find(LayerCache(cache.folder))
    assert again == first


@pytest.mark.usefixtures("trusting")
@pytest.mark.parametrize("how", ["content", "time", "replaced"])
def test_a_changed_file_is_read_again(tmp_path: Path, cache: LayerCache, how: str) -> None:
    path = old(tmp_path / "model.bin", bytes(LARGE))
    recipe = FilesRecipe("model", (FileEntry("m/model.bin", path),))
    before = recipe.find(cache)
    changed = bytes(LARGE - 1) + b"x"
    match how:
        case "content":
            old(path, changed)  # with the same size and time, as tools leave behind that set times
        case "time":
            os.utime(path)
        case "replaced":
            old(tmp_path / "other", changed).replace(path)
    after = FilesRecipe("model", (FileEntry("m/model.bin", path),)).find(cache)
    assert (after[0] == before[0]) == (how == "time")
    assert after[1] is not None
    assert (
        hashlib.sha256(layer_files(after[1])["m/model.bin"]).digest()
        == hashlib.sha256(path.read_bytes()).digest()
    )


def test_a_file_that_was_written_just_now_is_not_trusted(tmp_path: Path, cache: LayerCache) -> None:
    """Its time may be the same after the next change."""
    path = tmp_path / "model.bin"
    path.write_bytes(b"one")
    digests.file_digest(path, cache)
    assert digests.known_digest(path, path.stat(), cache) is None
    status = path.stat()
    digests.remember_digest(path, status, "0" * 64, time.time_ns() + 3 * 10**9, cache)
    assert digests.known_digest(path, status, cache) == "0" * 64


@pytest.mark.parametrize("change", ["longer", "shorter", "gone", "rewritten"])
def test_a_file_that_changes_under_the_build_is_an_error(
    tmp_path: Path, cache: LayerCache, change: str
) -> None:
    path = old(tmp_path / "model.bin", bytes(LARGE))
    layer = FilesRecipe("model", (FileEntry("m/model.bin", path),)).make(cache)
    match change:
        case "longer":
            path.write_bytes(bytes(LARGE + 1))
        case "shorter":
            path.write_bytes(bytes(LARGE - 1))
        case "gone":
            path.unlink()
        case "rewritten":
            path.write_bytes(b"\1" * LARGE)
    with layer.content.open() as stream, pytest.raises(FileChanged, match=r"model\.bin"):
        stream.read()


def test_what_is_missing_is_an_error(tmp_path: Path, cache: LayerCache) -> None:
    with pytest.raises(FileChanged, match=r"gone\.bin cannot be read"):
        FilesRecipe("model", (FileEntry("m/gone.bin", tmp_path / "gone.bin"),)).find(cache)


@pytest.mark.parametrize(("content", "kind"), [(b"weights " * (LARGE // 8), LAYER_GZIP), (None, LAYER)])
def test_a_probe_decides_whether_a_layer_is_compressed(
    tmp_path: Path, cache: LayerCache, content: bytes | None, kind: str
) -> None:
    data = os.urandom(LARGE) if content is None else content
    entry = FileEntry("m/model.bin", old(tmp_path / "model.bin", data))
    packed = FilesRecipe("model", (entry,), "auto")
    assert packed.find(cache)[1] is None
    layer = packed.make(cache)
    assert layer.descriptor.media_type == kind
    assert layer_files(layer) == {"m/model.bin": data}
    assert layer.diff_id == FilesRecipe("model", (entry,)).make(cache).diff_id
    again = packed.find(cache)[1]
    assert again is not None
    assert again.descriptor == layer.descriptor


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of memory is read from /proc")
def test_a_model_of_gigabytes_takes_little_memory(tmp_path: Path) -> None:
    program = """
import sys
from pathlib import Path
from fnpack.oci.cache import LayerCache
from fnpack.oci.files import FileEntry, FilesRecipe
layer = FilesRecipe("m", (FileEntry("m", Path(sys.argv[1])),)).make(LayerCache(Path(sys.argv[2])))
with layer.content.open() as stream:
    while stream.read(1 << 20):
        pass
status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
print(layer.descriptor.size_bytes, status["VmHWM"].split()[0])
"""
    model = tmp_path / "model.bin"
    with model.open("wb") as file:
        file.truncate(400 << 20)  # a hole: it takes no space
    command = [sys.executable, "-c", program, str(model), str(tmp_path / "cache")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    size, peak = map(int, done.stdout.split())
    assert size > 400 << 20
    assert peak < 60 << 10, f"{peak} KiB"
