from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest

from fnpack.engine.context import CHUNK_BYTES, tar_stream
from fnpack.engine.errors import ImageBuildFailed
from fnpack.progress import ProgressEvent, ignore


def packed(folder: Path) -> bytes:
    return b"".join(tar_stream(folder, ignore))


def members(folder: Path) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(packed(folder))) as tar:
        return {info.name: info for info in tar}


def fill(folder: Path) -> Path:
    (folder / "models" / "m").mkdir(parents=True)
    (folder / "models" / "m" / "weights.bin").write_bytes(b"w" * 1000)
    (folder / "a.txt").write_text("a")
    (folder / ("long-" * 40)).write_text("a name over one hundred bytes")
    (folder / "ünï.txt").write_text("u")
    (folder / "link").symlink_to("a.txt")
    (folder / "empty").mkdir()
    return folder


def test_the_same_files_give_the_same_bytes_whatever_their_times_and_modes(tmp_path: Path) -> None:
    one, two = fill(tmp_path / "one"), fill(tmp_path / "two")
    os.utime(two / "a.txt", (1, 1))
    (two / "a.txt").chmod(0o600)
    assert packed(one) == packed(two)


def test_members_are_sorted_owned_by_root_and_readable_by_all(tmp_path: Path) -> None:
    found = members(fill(tmp_path))
    assert list(found) == sorted(found, key=lambda name: name.split("/"))
    assert {(info.mtime, info.uid, info.gid, info.uname) for info in found.values()} == {(0, 0, 0, "")}
    assert found["a.txt"].mode == 0o644
    assert found["empty"].isdir()
    assert found["link"].linkname == "a.txt"
    assert found["models/m/weights.bin"].size == 1000
    assert {"ünï.txt", "long-" * 40} <= set(found)


def test_executables_stay_executable(tmp_path: Path) -> None:
    (tmp_path / "run.sh").write_text("#!/bin/sh\n")
    (tmp_path / "run.sh").chmod(0o700)
    assert members(tmp_path)["run.sh"].mode == 0o755


def test_a_dockerignore_hides_nothing(tmp_path: Path) -> None:
    (tmp_path / ".dockerignore").write_text("*\n")
    (tmp_path / "model.pkl").write_text("m")
    assert set(members(tmp_path)) == {".dockerignore", "model.pkl"}


def test_large_files_come_in_small_pieces_with_progress(tmp_path: Path) -> None:
    size = 5 * CHUNK_BYTES + 17
    with (tmp_path / "big").open("wb") as file:
        file.truncate(size)
    events: list[ProgressEvent] = []
    assert max(map(len, tar_stream(tmp_path, events.append))) == CHUNK_BYTES
    assert [event.status for event in events] == ["started", *["running"] * 6, "done"]
    assert events[-1].current_bytes == events[-1].total_bytes == size


def test_a_file_that_shrinks_while_it_is_read_is_named(tmp_path: Path) -> None:
    file = tmp_path / "model.pkl"
    file.write_bytes(b"x" * 3 * CHUNK_BYTES)
    pieces = tar_stream(tmp_path, ignore)
    next(pieces), next(pieces)
    file.write_bytes(b"")
    with pytest.raises(ImageBuildFailed, match=r"model\.pkl.*shorter"):
        list(pieces)


def test_a_fifo_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ImageBuildFailed, match="`pipe` is neither"):
        packed(tmp_path)
