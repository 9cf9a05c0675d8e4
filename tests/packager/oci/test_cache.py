from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fnpack.oci.cache import LayerCache, LayerRecord
from fnpack.oci.errors import LayerUnwritable
from layer_files import write_wheel

RECORD = LayerRecord("type", "sha256:" + "a" * 64, 5, "sha256:" + "b" * 64)


def store(cache: LayerCache, data: bytes) -> str:
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    with cache.new_file() as (file, path):
        file.write(data)
        file.flush()
        cache.keep(path, digest)
    return digest


def test_what_was_kept_is_found_by_another_process(cache: LayerCache) -> None:
    digest = store(cache, b"layer")
    cache.remember("key", RECORD)
    other = LayerCache(cache.folder)
    path = other.blob(digest, 5)
    assert path is not None
    assert path.read_bytes() == b"layer"
    assert other.record("key") == RECORD
    assert other.record("another key") is None


def test_a_blob_that_was_cut_by_a_crash_is_not_used(cache: LayerCache) -> None:
    digest = store(cache, b"layer")
    path = cache.blob(digest, 5)
    assert path is not None
    path.write_bytes(b"lay")
    assert cache.blob(digest, 5) is None


def test_what_is_not_kept_is_gone_whatever_happens(cache: LayerCache) -> None:
    def fail() -> None:
        with cache.new_file() as (file, _):
            file.write(b"half")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert list((cache.folder / "parts").iterdir()) == []


@pytest.mark.parametrize("text", ["", "{", "[]", '{"digest": 1}', '{"a": "b"}'])
def test_a_note_that_cannot_be_read_counts_as_none(cache: LayerCache, text: str) -> None:
    cache.remember("key", RECORD)
    (note,) = (cache.folder / "recipes").iterdir()
    note.write_text(text)
    assert cache.record("key") is None


def test_the_least_used_go_when_the_limit_is_reached(tmp_path: Path) -> None:
    cache = LayerCache(tmp_path, limit_bytes=250)
    long_ago = time.time() - 7200
    digests = [store(cache, bytes([number]) * 100) for number in range(2)]
    for number, digest in enumerate(digests):
        path = cache.blob(digest, 100)
        assert path is not None
        os.utime(path, (long_ago + number, long_ago + number))
    abandoned = tmp_path / "parts" / ".part-1-dead"
    abandoned.write_bytes(b"x")
    os.utime(abandoned, (1, 1))
    newest = store(cache, b"n" * 100)
    assert [cache.blob(digest, 100) is not None for digest in (*digests, newest)] == [False, True, True]
    assert not abandoned.exists()


def test_what_a_build_uses_stays_beyond_the_limit(tmp_path: Path) -> None:
    cache = LayerCache(tmp_path, limit_bytes=50)
    digests = [store(cache, bytes([number]) * 100) for number in range(3)]
    assert all(cache.blob(digest, 100) for digest in digests)


def test_a_folder_that_cannot_be_written_is_done_without(tmp_path: Path) -> None:
    """A file in its place stands for it, since root may write everywhere."""
    (tmp_path / "cache").write_text("in the way")
    cache = LayerCache(tmp_path / "cache" / "layers")
    digest = store(cache, b"layer")
    assert cache.blob(digest, 5) is not None
    cache.remember("key", RECORD)
    assert cache.record("key") == RECORD
    assert not cache.is_kept


@pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="mounting a full disk needs root on Linux"
)
def test_a_full_disk_is_a_clear_error(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        pytest.skip(f"no disk can be mounted here: {done.stderr}")
    try:
        cache = LayerCache(disk / "layers")
        with pytest.raises(LayerUnwritable, match="no space left for a layer") as caught:
            store(cache, bytes(1 << 20))
        assert caught.value.hint == "make room, or name another folder in FNPACK_CACHE"
        assert list((disk / "layers" / "parts").iterdir()) == []
        cache.remember("key", RECORD)  # notes are small, or not kept
        assert cache.record("key") == RECORD
    finally:
        subprocess.run(["umount", str(disk)], check=True)


CONCURRENT = """
import sys
from pathlib import Path
from fnpack.oci.cache import LayerCache
from fnpack.oci.place import Place
from fnpack.oci.wheels import wheel_recipes
from layer_files import layer_bytes, wheel_file
cache = LayerCache(Path(sys.argv[1]), limit_bytes=1)
for _ in range(20):
    found, _clashes = wheel_recipes([wheel_file(Path(sys.argv[2]))], Place("/app"), cache, compiler=None)
    layer = found[0].make(cache)
    layer_bytes(layer)
    cache.drop(layer.descriptor.digest)
print(layer.descriptor.digest)
"""


def test_builds_side_by_side_share_a_cache_even_as_layers_vanish_from_it(tmp_path: Path) -> None:
    wheel = write_wheel(tmp_path, files={f"demo/{number}.py": b"x = 1\n" * 500 for number in range(50)})
    root = Path(__file__).parents[3]
    rooms = [root / name for name in ("packager", "function_host", "triggers", "templates", "scripts")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, rooms))}
    command = [sys.executable, "-c", CONCURRENT, str(tmp_path / "cache"), str(wheel.path)]
    builds = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    results = [build.communicate(timeout=60) for build in builds]
    assert [build.returncode for build in builds] == [0, 0, 0], results
    assert len({out for out, _ in results}) == 1
