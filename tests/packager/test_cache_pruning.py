"""What no build used for long leaves the cache, and nothing does while another build runs."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fnpack import cache_pruning
from fnpack.cache_pruning import in_use, prune, used
from fnpack.dependencies import cache as packages
from fnpack.dependencies.built import recall, remember
from fnpack.dependencies.wheels import WheelFile

HOLD = """
import sys
from fnpack.cache_pruning import in_use
with in_use():
    print("held", flush=True)
    sys.stdin.read()
"""
LONG_AGO = time.time() - 31 * 24 * 3600


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FNPACK_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cache").mkdir()
    return tmp_path / "cache"


def put(path: Path, *, last_used: float = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("content")
    if last_used:
        os.utime(path, (last_used, last_used))
    return path


@contextmanager
def other_build() -> Iterator[subprocess.Popen[str]]:
    """Another process that uses the cache."""
    command = [sys.executable, "-c", HOLD]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def test_what_was_not_used_for_thirty_days_is_removed_and_the_rest_stays(cache: Path) -> None:
    places = (
        "wheels/ab/abcd/{}-1.0-py3-none-any.whl",
        "bases/{}.tar",
        "registry/blobs/sha256/{}",
        "conda/{}/fnpack.json",
        "conda/{}/tree/bin/python",
        "checks/passed/{}",
    )
    old = [put(cache / one.format("old"), last_used=LONG_AGO) for one in places]
    new = [put(cache / one.format("new")) for one in places]
    os.utime(cache / "conda" / "old", (LONG_AGO, LONG_AGO))
    notes = [put(cache / name, last_used=LONG_AGO) for name in ("built/a.json", "layers/recipes/a")]
    assert prune(cache) == 5
    assert not [path for path in old if path.exists()]
    assert not (cache / "conda" / "old").exists()
    assert all(path.is_file() for path in (*new, *notes))


def test_notes_go_a_year_after_they_were_written(cache: Path) -> None:
    names = (
        "built/{}.json", "requirements/{}.json", "sboms/{}.json", "selections/{}.json", "base-python/{}",
        "layers/clashes/{}", "layers/digests/{}", "layers/models/{}", "layers/recipes/{}", "registry/pushed/{}.json",
    )  # fmt: skip
    a_year_ago = time.time() - 366 * 24 * 3600
    old = [put(cache / one.format("old"), last_used=a_year_ago) for one in names]
    new = [put(cache / one.format("new"), last_used=LONG_AGO) for one in names]
    assert prune(cache) == len(old)
    assert [path for path in (*old, *new) if path.exists()] == new


def test_folders_of_removed_wheels_go_as_well(cache: Path) -> None:
    put(cache / "wheels" / "ab" / "abcd" / "a-1.0-py3-none-any.whl", last_used=LONG_AGO)
    prune(cache)
    assert not list((cache / "wheels").iterdir())


def test_rests_of_killed_builds_go_after_a_day(cache: Path) -> None:
    names = (
        "wheels/ab/abcd/.part-x",
        "layers/layers/.new-x",
        "registry/blobs/sha256/.part-y",
        ".work-z/source/a",
    )
    for name in names:
        put(cache / name, last_used=time.time() - 2 * 24 * 3600)
    os.utime(cache / ".work-z", (LONG_AGO, LONG_AGO))
    running = put(cache / "layers" / "layers" / ".new-running")
    prune(cache)
    assert list(cache.rglob(".*")) == [running]


def test_use_counts_and_costs_a_write_a_day_at_most(cache: Path) -> None:
    wheel = put(cache / "wheels" / "ab" / "abcd" / "a-1.0-py3-none-any.whl", last_used=LONG_AGO)
    used(wheel)
    first = wheel.stat().st_mtime_ns
    assert time.time() - wheel.stat().st_mtime < 60
    used(wheel)
    assert wheel.stat().st_mtime_ns == first
    prune(cache)
    assert wheel.is_file()
    used(cache / "wheels" / "nowhere")


def test_wheel_that_was_built_is_in_use_when_it_is_recalled(tmp_path: Path, cache: Path) -> None:
    path, sha256 = packages.keep(put(tmp_path / "built.whl"), "mine-1.0-py3-none-any.whl")
    remember("built", "key", WheelFile("mine", "1.0", path, sha256, path.name))
    os.utime(path, (LONG_AGO, LONG_AGO))
    assert recall("built", "key") is not None
    prune(cache)
    assert path.is_file()


def test_nothing_is_removed_while_another_build_runs_and_the_next_one_makes_up_for_it(cache: Path) -> None:
    old = put(cache / "bases" / "old.tar", last_used=LONG_AGO)
    with other_build() as other:
        with in_use():
            pass
        assert old.is_file()
        assert not (cache / "pruned").exists()
        other.kill()  # the kernel lets go of its lock
        other.wait(10)
        with in_use():
            assert old.is_file(), "removed before the end"
        assert not old.exists()
        assert (cache / "pruned").is_file()


def test_builds_of_one_process_hold_it_together(cache: Path) -> None:
    old = put(cache / "bases" / "old.tar", last_used=LONG_AGO)
    with in_use():
        with in_use():
            pass
        assert old.is_file()
    assert not old.exists()


def test_cache_is_looked_through_once_a_day(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[Path] = []
    monkeypatch.setattr(cache_pruning, "prune", looked.append)
    for _ in range(3):
        with in_use():
            pass
    assert looked == [cache]
    os.utime(cache / "pruned", (LONG_AGO, LONG_AGO))
    with in_use():
        pass
    assert len(looked) == 2


def test_failed_build_removes_nothing(cache: Path) -> None:
    old = put(cache / "bases" / "old.tar", last_used=LONG_AGO)
    with pytest.raises(RuntimeError), in_use():
        raise RuntimeError
    assert old.is_file()


def test_cache_without_a_lock_is_used_all_the_same(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (cache / "lock").mkdir()
    old = put(cache / "bases" / "old.tar", last_used=LONG_AGO)
    with in_use():
        pass
    assert old.is_file()
