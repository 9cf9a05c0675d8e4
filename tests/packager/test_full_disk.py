"""A full disk is told from other errors, and its place named."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest

from fnpack.cache_folder import cache_folder
from fnpack.full_disk import as_full_disk, disk_full, is_full, says_full, told_full_disk


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), True),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), True),
        (shutil.Error([("a", "b", "[Errno 28] No space left on device: 'a' -> 'b'")]), True),
        (PermissionError(errno.EACCES, "Permission denied"), False),
        (shutil.Error([("a", "b", "[Errno 13] Permission denied: 'a'")]), False),
        (ValueError("No space left on device"), False),
    ],
)
def test_full_disks_and_other_errors(error: Exception, expected: bool) -> None:
    assert is_full(error) is expected


def test_words_of_uv() -> None:
    assert says_full("error: failed to write to file `/x/y`: No space left on device (os error 28)")
    assert not says_full("error: Permission denied (os error 13)")


@pytest.mark.parametrize(
    ("place", "named"),
    [("cache/wheels/ab", "FNPACK_CACHE"), ("tmp/x", "TMPDIR"), ("here/x", "another folder")],
)
def test_hint_names_what_moves_the_place(tmp_path: Path, monkeypatch, place: str, named: str) -> None:
    monkeypatch.setenv("FNPACK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    error = disk_full(tmp_path / place)
    assert str(tmp_path / place.partition("/")[0]) in str(error)
    assert named in (error.hint or "")


def test_other_errors_pass_and_no_temporary_folder_is_told() -> None:
    with pytest.raises(PermissionError), told_full_disk():
        raise PermissionError(errno.EACCES, "Permission denied")
    assert as_full_disk(FileNotFoundError(errno.ENOENT, "No such file")) is None
    error = as_full_disk(FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']"))
    assert error is not None
    assert "TMPDIR" in (error.hint or "")


def test_cache_folder_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FNPACK_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    assert cache_folder({**os.environ, "FNPACK_CACHE": ""}) != tmp_path
