"""The lock file: made once, kept while it holds, changed no more than is needed."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from fnpack.dependencies import resolver
from fnpack.dependencies.errors import (
    DependencyError,
    LockFileError,
    LockOutOfDate,
    ResolverMissing,
    UnsatisfiableRequirements,
)
from fnpack.dependencies.fetch import fetch
from fnpack.dependencies.index import PackageIndex
from fnpack.dependencies.lock import Requirements, lock
from fnpack.dependencies.lockfile import Lock
from fnpack.dependencies.selection import select
from fnpack.dependencies.target import Target
from fnpack.spec import LockMode
from package_index import Index, make_source, make_wheel, sha256

AMD64, ARM64 = Target("linux/amd64", "3.11"), Target("linux/arm64", "3.11")


@pytest.fixture
def locked(index: Index, project: Path):
    for version in ("1.0", "1.1", "2.0"):
        make_wheel(index.packages, "alpha", version)
    make_wheel(index.packages, "beta", "1.0", "alpha")
    make_wheel(index.packages, "only-arm", "1.0")
    make_wheel(
        index.packages,
        "fast",
        "1.0",
        "only-arm; platform_machine == 'aarch64'",
        tag="cp311-abi3-manylinux_2_17_x86_64",
    )
    make_wheel(
        index.packages,
        "fast",
        "1.0",
        "only-arm; platform_machine == 'aarch64'",
        tag="cp311-abi3-manylinux_2_17_aarch64",
    )

    def run(
        *lines: str,
        targets: tuple[Target, ...] = (AMD64,),
        mode: LockMode = "reuse",
        constraints: tuple[str, ...] = (),
        settings: PackageIndex | None = None,
    ) -> Lock:
        asked = Requirements(lines, "requirements.txt", constraints)
        return lock(asked, targets, project=project, index=settings or index.settings(), mode=mode)

    return run


def pins(found: Lock) -> dict[str, str]:
    return {str(package.name): str(package.version) for package in found.document.packages}


@pytest.fixture
def no_uv(monkeypatch: pytest.MonkeyPatch):
    def missing() -> str:
        raise ResolverMissing("uv was started")

    return lambda: monkeypatch.setattr(resolver, "_uv", missing)


def test_lock_is_written_beside_the_project_with_pins_and_hashes(locked, project: Path) -> None:
    found = locked("beta")
    assert found.is_new
    assert found.path == project / "pylock.toml"
    assert pins(found) == {"alpha": "2.0", "beta": "1.0"}
    text = found.path.read_text()
    assert text == found.text
    assert text.count("sha256 = ") == 2
    assert 'requirements = ["beta"]' in text


def test_lock_that_holds_is_reused_without_starting_uv(locked, no_uv) -> None:
    first = locked("beta")
    no_uv()
    again = locked("beta")
    assert (again.text, again.is_new) == (first.text, False)


def test_same_inputs_give_the_same_lock_byte_for_byte(locked, project: Path) -> None:
    first = locked("beta", targets=(AMD64, ARM64)).text
    (project / "pylock.toml").unlink()
    assert locked("beta", targets=(ARM64, AMD64)).text == first


def test_changed_requirement_keeps_the_other_pins(locked, index: Index) -> None:
    assert pins(locked("alpha"))["alpha"] == "2.0"
    make_wheel(index.packages, "alpha", "2.1")
    found = locked("alpha", "only-arm")
    assert pins(found) == {"alpha": "2.0", "only-arm": "1.0"}
    assert pins(locked("alpha<2", "only-arm"))["alpha"] == "1.1"


def test_upgrade_takes_the_newest_versions(locked, index: Index) -> None:
    locked("alpha")
    make_wheel(index.packages, "alpha", "2.1")
    assert pins(locked("alpha", mode="upgrade"))["alpha"] == "2.1"


def test_locked_refuses_to_change_anything_and_says_what_changed(locked, project: Path) -> None:
    before = locked("alpha").text
    with pytest.raises(LockOutOfDate) as caught:
        locked("alpha<2", targets=(ARM64,), mode="locked")
    message = str(caught.value)
    assert "the requirement `alpha<2` is not in it" in message
    assert "the requirement `alpha` is gone" in message
    assert "it is not for linux/arm64" in message
    assert (project / "pylock.toml").read_text() == before
    assert locked("alpha", mode="locked").text == before


def test_locked_without_a_lock_is_refused(locked) -> None:
    with pytest.raises(LockOutOfDate, match="there is none"):
        locked("alpha", mode="locked")


def test_locked_holds_on_a_machine_with_another_index(locked, no_uv) -> None:
    locked("alpha")
    no_uv()
    other = Index(Path(), "elsewhere.example").settings()
    assert not locked("alpha", mode="locked", settings=other).is_new


def test_new_password_changes_no_lock(locked, index: Index, no_uv) -> None:
    locked("alpha")
    no_uv()
    assert not locked("alpha", settings=index.settings(index_url=index.with_login("me:new"))).is_new


def test_another_python_is_another_lock(locked) -> None:
    locked("alpha")
    found = locked("alpha", targets=(Target("linux/amd64", "3.12"),))
    assert found.is_new
    assert str(found.document.requires_python) == "==3.12.*"


def test_second_platform_joins_the_lock_and_stays_in_it(locked, no_uv) -> None:
    locked("fast")
    both = locked("fast", targets=(ARM64,))
    assert set(both.inputs.platforms) == {"linux/amd64", "linux/arm64"}
    only = next(package for package in both.document.packages if package.name == "only-arm")
    assert str(only.marker) == 'platform_machine == "aarch64"'
    fast = next(package for package in both.document.packages if package.name == "fast")
    assert len(fast.wheels or ()) == 2
    no_uv()
    assert locked("fast", targets=(AMD64,)).text == both.text


def test_platform_that_nobody_asks_for_any_more_does_not_stand_in_the_way(locked, index: Index) -> None:
    locked("alpha", targets=(AMD64, ARM64))
    make_wheel(index.packages, "intel", "1.0", tag="cp311-cp311-manylinux_2_17_x86_64")
    assert set(locked("alpha", "intel").inputs.platforms) == {"linux/amd64"}


def test_constraint_limits_and_installs_nothing(locked) -> None:
    assert pins(locked("alpha", constraints=("alpha<2", "beta==9"))) == {"alpha": "1.1"}
    assert pins(locked("alpha", constraints=("alpha<1.1",))) == {"alpha": "1.0"}


def test_package_that_needs_a_newer_system_is_locked_where_the_base_image_has_it(
    locked, index: Index
) -> None:
    make_wheel(index.packages, "modern", "1.0", tag="cp311-cp311-manylinux_2_34_x86_64")
    with pytest.raises(UnsatisfiableRequirements):
        locked("modern", targets=(Target("linux/amd64", "3.11", libc_version=(2, 31)),))
    found = locked("modern", targets=(Target("linux/amd64", "3.11", libc_version=(2, 36)),))
    assert found.inputs.platforms == {"linux/amd64": "glibc 2.36"}


def test_usual_base_images_share_one_lock(locked, no_uv) -> None:
    locked("alpha", targets=(Target("linux/amd64", "3.11", libc_version=(2, 41)),))
    no_uv()
    for libc in ((2, 36), (2, 28), None):
        assert not locked("alpha", targets=(Target("linux/amd64", "3.11", libc_version=libc),)).is_new


def test_unsatisfiable_requirements_show_the_resolvers_reason_and_leave_the_lock(
    locked, project: Path
) -> None:
    before = locked("alpha").text
    with pytest.raises(UnsatisfiableRequirements, match=r"requirements.txt: .*(?s:.*)alpha>=3"):
        locked("alpha>=3")
    assert (project / "pylock.toml").read_text() == before


def test_lock_of_another_tool_is_left_alone(locked, project: Path, no_uv) -> None:
    theirs = 'lock-version = "1.0"\ncreated-by = "other"\npackages = []\n'
    (project / "pylock.toml").write_text(theirs)
    assert locked("alpha").path == project / "pylock.fnpack.toml"
    assert (project / "pylock.toml").read_text() == theirs
    no_uv()
    assert not locked("alpha").is_new


@pytest.mark.parametrize(
    ("old", "new"),
    [("[tool.fnpack]", "[tool.fnpack"), ("[tool.fnpack]", "[tool.x]"), ("version = 1\n", "version = 9\n")],
)
def test_spoilt_lock_is_named_and_not_thrown_away(locked, project: Path, old: str, new: str) -> None:
    path = locked("alpha").path
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(LockFileError, match=re.escape(str(path))):
        locked("alpha")
    assert path.is_file()


def test_spoilt_packages_of_a_lock_are_told(locked) -> None:
    path = locked("alpha").path
    path.write_text(path.read_text().replace("sha256 = ", "sha = "))
    with pytest.raises(DependencyError, match="sha256"):
        select(locked("alpha"), AMD64)


@pytest.mark.skipif(sys.platform == "win32", reason="folders have no modes there")
def test_lock_that_cannot_be_kept_is_no_failure(
    locked, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fnpack.dependencies import lockfile

    monkeypatch.setattr(lockfile, "lock_path", lambda _: Path("/proc/nowhere/pylock.toml"))
    found = locked("alpha")
    assert found.path is None
    assert "cannot be written" in found.note


def test_local_package_is_locked_by_path_and_resolved_again_when_its_metadata_changes(
    locked, project: Path, no_uv
) -> None:
    source = make_source(project / "mine", "mine", "1.0", "alpha")
    found = locked(str(source))
    assert 'requirements = ["./mine"]' in found.text
    assert 'directory = { path = "mine" }' in found.text
    assert str(project) not in found.text
    assert pins(found)["alpha"] == "2.0"
    (source / "mine/__init__.py").write_text("changed = 1\n")
    assert not locked(str(source)).is_new
    make_source(project / "mine", "mine", "1.0", "alpha<2")
    assert pins(locked(str(source)))["alpha"] == "1.1"


def test_login_reaches_neither_lock_nor_error(locked, index: Index) -> None:
    index.login = "me:s3cret"
    settings = index.settings(index_url=index.with_login("me:s3cret"))
    found = locked("alpha", settings=settings)
    assert "s3cret" not in found.text
    assert f"http://{index.address}/files/alpha-2.0" in found.text
    with pytest.raises(DependencyError) as caught:
        locked("alpha", "beta", settings=index.settings(index_url=index.with_login("me:wr0ng")))
    assert "wr0ng" not in str(caught.value)


def test_signature_in_an_address_is_not_locked(locked, make_index, clean_user: Path) -> None:
    signed = make_index("signed")
    path = make_wheel(signed.packages, "alpha", "3.0")

    def only_signed(handler) -> bool:
        if handler.path == "/simple/alpha/":
            link = f'<a href="/files/{path.name}?sig=s3cret#sha256={sha256(path)}">{path.name}</a>'
            handler.answer(link.encode(), headers={"Content-Type": "text/html"})
        elif handler.path == f"/files/{path.name}?sig=s3cret":
            handler.file(path)
        else:
            handler.answer(b"", status=403)
        return True

    signed.faults.append(only_signed)
    target = Target("linux/amd64", "3.11")
    found = locked("alpha", settings=signed.settings())
    assert "s3cret" not in found.text
    (one,) = select(found, target)
    assert sha256(fetch([one], signed.settings())[one]) == one.sha256
