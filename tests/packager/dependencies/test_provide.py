"""From requirement lines to the app's requirements.txt and wheels."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import pytest

from fnpack.dependencies.errors import (
    DependencyError,
    PackageIndexRefused,
    PackageIndexUnreachable,
    UnsatisfiableRequirements,
)
from fnpack.dependencies.index import PackageIndex
from fnpack.dependencies.lock import Requirements, carried_targets
from fnpack.dependencies.provide import Dependencies, resolve, wheels
from fnpack.dependencies.target import Target
from package_index import Index, make_sdist, make_source, make_wheel, sha256

AMD64 = Target("linux/amd64", "3.11")


@pytest.fixture
def resolved(index: Index, project: Path):
    def run(*lines: str, settings: PackageIndex | None = None, targets=(AMD64,)) -> Dependencies:
        asked = Requirements(lines, "requirements.txt")
        return resolve(asked, targets, project=project, index=settings or index.settings())

    return run


@pytest.fixture
def configured_index(monkeypatch: pytest.MonkeyPatch, clean_user: Path) -> PackageIndex:
    """The settings of the machine that the tests run on, less the cleaning of this folder's fixtures."""
    monkeypatch.undo()
    return PackageIndex.discover()


def test_text_pins_with_hashes_and_names_no_index(resolved, index: Index) -> None:
    make_wheel(index.packages, "alpha", "1.0")
    make_sdist(index.packages, "alpha", "1.0")
    text = resolved("alpha").requirements_txt
    assert re.fullmatch(r"alpha==1.0( \\\n    --hash=sha256:[0-9a-f]{64}){2}\n", text)


def test_package_of_the_configured_index_is_locked_and_fetched(
    configured_index: PackageIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    found = resolve(Requirements(("iniconfig==2.0.0",)), [AMD64], project=tmp_path, index=configured_index)
    (wheel,) = wheels(found, AMD64)
    assert (wheel.name, wheel.version, wheel.filename) == (
        "iniconfig",
        "2.0.0",
        "iniconfig-2.0.0-py3-none-any.whl",
    )
    assert sha256(wheel.path) == wheel.sha256
    assert wheel.sha256 in found.requirements_txt


def test_lock_is_for_the_image_and_not_for_this_machine(resolved, index: Index) -> None:
    make_wheel(
        index.packages, "alpha", "1.0", "beta; sys_platform == 'win32'", "gamma; python_version < '3.11'"
    )
    text = resolved("alpha", "delta; sys_platform == 'darwin'").requirements_txt
    assert text.startswith("alpha==1.0 ")
    assert text.count("==") == 1


def test_packages_of_one_platform_carry_a_marker(resolved, index: Index) -> None:
    make_wheel(index.packages, "alpha", "1.0")
    make_wheel(index.packages, "beta", "1.0")
    found = resolved(
        "alpha", "beta; platform_machine == 'aarch64'", targets=(AMD64, Target("linux/arm64", "3.11"))
    )
    assert 'beta==1.0 ; platform_machine == "aarch64" \\\n' in found.requirements_txt
    assert [one.name for one in found.selected[AMD64]] == ["alpha"]


def test_nothing_asked_for_gives_an_empty_text(resolved) -> None:
    assert resolved().requirements_txt == ""


def test_wheels_are_sorted_and_only_what_is_asked_for_is_fetched(
    resolved, index: Index, clean_user: Path
) -> None:
    for name in ("beta", "alpha", "gamma"):
        make_wheel(index.packages, name, "1.0")
    found = resolved("gamma", "alpha", "beta")
    assert [one.wheel.filename for one in found.selected[AMD64] if one.wheel] == [
        f"{name}-1.0-py3-none-any.whl" for name in ("alpha", "beta", "gamma")
    ]
    fetched = [path for path in index.requests if path.startswith("/files/")]
    (beta,) = wheels(found, AMD64, only=["beta"])
    assert beta.path.is_file()
    assert [path for path in index.requests if path.startswith("/files/")][len(fetched) :] == [
        "/files/beta-1.0-py3-none-any.whl"
    ]
    assert [wheel.name for wheel in wheels(found, AMD64)] == ["alpha", "beta", "gamma"]


def test_warm_cache_asks_nobody(resolved, index: Index) -> None:
    make_wheel(index.packages, "alpha", "1.0")
    make_sdist(index.packages, "beta", "1.0")
    first = wheels(resolved("alpha", "beta"), AMD64)
    index.requests.clear()
    index.faults.append(lambda handler: pytest.fail("asked"))
    assert wheels(resolved("alpha", "beta"), AMD64) == first
    assert index.requests == []


def test_unsatisfiable_pair_shows_the_resolvers_reason(resolved, index: Index) -> None:
    make_wheel(index.packages, "six", "1.16.0")
    with pytest.raises(UnsatisfiableRequirements) as caught:
        resolved("six==1.16.0", "six==1.15.0")
    assert caught.value.code == "FN330"
    assert "six==1.16.0 and six==1.15.0" in str(caught.value)
    assert "requirements.txt" in str(caught.value)


def test_unknown_package_is_unsatisfiable(resolved) -> None:
    with pytest.raises(UnsatisfiableRequirements, match="was not found in the package registry"):
        resolved("no-such-project==1")


def test_unreachable_index_is_told_apart_and_hides_its_credentials(resolved) -> None:
    with socket.socket() as unused:  # bound, never listening: connections are refused
        unused.bind(("127.0.0.1", 0))
        index = PackageIndex(index_url=f"http://user:s3cret@127.0.0.1:{unused.getsockname()[1]}/simple")
        with pytest.raises(PackageIndexUnreachable) as caught:
            resolved("iniconfig", settings=index)
    assert caught.value.code == "FN331"
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    "line",
    [
        "git+https://git.example/x",
        "./local",
        "x @ file:///no/such/x-1.0-py3-none-any.whl",
        "x @ ftp://host.example/x-1.0.tar.gz",
        "x @ https://me:s3cret@host.example/x-1.0-py3-none-any.whl",
        "six=1.0",
    ],
)
def test_lines_that_can_be_neither_pinned_nor_built_are_refused(resolved, line: str) -> None:
    with pytest.raises(DependencyError) as caught:
        resolved(line)
    assert caught.value.code == "FN332"
    assert "s3cret" not in str(caught.value)


def test_unknown_platform_is_refused() -> None:
    with pytest.raises(DependencyError, match="linux/s390x"):
        Target("linux/s390x", "3.11").tags()
    with pytest.raises(DependencyError, match="linux/s390x"):
        carried_targets({"linux/s390x": "glibc 2.28"}, "3.11", ())


def test_folder_is_built_pinned_by_its_wheel_and_handed_to_pip(resolved, index: Index, project: Path) -> None:
    make_wheel(index.packages, "alpha", "1.0")
    source = make_source(project / "mine", "mine", "1.2", "alpha")
    found = resolved(str(source))
    (wheel,) = found.local
    assert f"mine==1.2 \\\n    --hash=sha256:{sha256(wheel)}\n" in found.requirements_txt
    assert [(w.name, w.version, w.path == wheel) for w in wheels(found, AMD64)] == [
        ("alpha", "1.0", False),
        ("mine", "1.2", True),
    ]
    (source / "mine/__init__.py").write_text("version = 'edited'\n")
    again = resolved(str(source))
    assert again.local != found.local
    assert not again.lock.is_new


def test_archives_of_find_links_are_handed_to_pip(resolved, index: Index, tmp_path: Path) -> None:
    mine = make_wheel(tmp_path / "links", "mine", "1.0")
    make_wheel(tmp_path / "links", "mine", "0.9")
    make_wheel(index.packages, "alpha", "1.0")
    settings = index.settings(find_links=(tmp_path / "links",))
    found = resolved("mine", "alpha", settings=settings)
    assert [path.name for path in found.local] == [mine.name]
    assert sha256(found.local[0]) == sha256(mine)
    assert f"--hash=sha256:{sha256(mine)}" in found.requirements_txt


def test_wheel_at_an_address_keeps_the_address(resolved, index: Index) -> None:
    make_wheel(index.packages, "alpha", "1.0")
    url = f"http://{index.address}/files/alpha-1.0-py3-none-any.whl"
    found = resolved(f"alpha @ {url}")
    assert found.requirements_txt.startswith(f"alpha @ {url} \\\n    --hash=sha256:")
    assert [wheel.name for wheel in wheels(found, AMD64)] == ["alpha"]
    assert found.local == ()


@pytest.mark.parametrize("login", ["", "me:wr0ng@"])
def test_index_that_wants_another_login_is_told_apart_from_a_missing_package(
    resolved, index: Index, login: str
) -> None:
    make_wheel(index.packages, "alpha", "1.0")
    index.login = "me:s3cret"
    with pytest.raises(PackageIndexRefused, match=r"127.0.0.1 refused to give a package: HTTP 401") as caught:
        resolved("alpha", settings=index.settings(index_url=f"http://{login}{index.address}/simple"))
    assert "wr0ng" not in str(caught.value)


def test_second_index_counts_as_much_as_the_first(resolved, index: Index, make_index) -> None:
    private = make_index("private")
    private.login = "me:s3cret"
    make_wheel(index.packages, "alpha", "1.0")
    make_wheel(private.packages, "alpha", "2.0")
    make_wheel(private.packages, "beta", "1.0")
    settings = index.settings(extra_index_urls=(private.with_login("me:s3cret"),))
    found = resolved("alpha", "beta", settings=settings)
    assert [(wheel.name, wheel.version) for wheel in wheels(found, AMD64)] == [
        ("alpha", "2.0"),
        ("beta", "1.0"),
    ]
