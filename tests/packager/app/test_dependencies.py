"""Against the package index that this machine is set up for."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import pytest

from fnpack.app.dependencies import (
    DependencyError,
    PackageIndexUnreachable,
    UnsatisfiableRequirements,
    lock,
)
from fnpack.app.package_index import PackageIndex


def locked(*requirements: str, index: PackageIndex | None = None, platform: str = "linux/amd64") -> str:
    return lock(
        requirements,
        python_version="3.11",
        platform=platform,
        cwd=Path.cwd(),
        source="requirements.txt",
        index=index,
    )


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("UV_CACHE_DIR", str(Path.home() / ".cache" / "uv"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "fnpack" / "locks"


def test_lock_pins_with_hashes_and_names_no_index() -> None:
    text = locked("iniconfig")
    assert re.fullmatch(r"iniconfig==\S+( \\\n    --hash=sha256:[0-9a-f]{64})+\n", text)


def test_lock_is_for_the_image_and_not_for_this_machine() -> None:
    assert "colorama" not in locked("click==8.1.7; sys_platform == 'linux'", platform="linux/arm64")


def test_nothing_to_lock_gives_an_empty_file() -> None:
    assert locked() == ""


def test_unsatisfiable_pair_shows_the_resolvers_reason() -> None:
    with pytest.raises(UnsatisfiableRequirements) as caught:
        locked("six==1.16.0", "six==1.15.0")
    assert caught.value.code == "FN330"
    assert "six==1.16.0 and six==1.15.0" in str(caught.value)
    assert "requirements.txt" in str(caught.value)


def test_unknown_package_is_unsatisfiable() -> None:
    with pytest.raises(UnsatisfiableRequirements, match="was not found in the package registry"):
        locked("fnpack-no-such-project-on-any-index==1")


def test_unreachable_index_is_told_apart_and_hides_its_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    with socket.socket() as unused:  # bound, never listening: connections are refused
        unused.bind(("127.0.0.1", 0))
        index = PackageIndex(index_url=f"http://user:s3cret@127.0.0.1:{unused.getsockname()[1]}/simple")
        with pytest.raises(PackageIndexUnreachable) as caught:
            locked("iniconfig", index=index)
    assert caught.value.code == "FN331"
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    "line",
    [
        "git+https://git.example/x",
        "./local",
        "x @ file:///x-1.0-py3-none-any.whl",
        "x @ git+https://git.example/x@main",
        "x @ https://me:s3cret@host.example/x-1.0-py3-none-any.whl",
        "six=1.0",
    ],
)
def test_lines_that_cannot_be_pinned_by_hash_are_refused(line: str) -> None:
    with pytest.raises(DependencyError) as caught:
        locked(line)
    assert caught.value.code == "FN332"
    assert "s3cret" not in str(caught.value)


def test_only_exact_pins_are_cached(cache: Path) -> None:
    locked("iniconfig")
    assert not cache.exists()
    first = locked("iniconfig==2.0.0")
    (kept,) = cache.iterdir()
    assert kept.read_text() == first
    kept.write_text("from the cache")
    assert locked("iniconfig==2.0.0") == "from the cache"


def test_unknown_platform_is_refused() -> None:
    with pytest.raises(DependencyError, match="linux/s390x"):
        locked("six", platform="linux/s390x")
