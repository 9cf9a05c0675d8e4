"""Wheels from sources, with real builds."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from fnpack.dependencies import sources
from fnpack.dependencies.errors import CompiledElsewhere, SourceBuildFailed
from fnpack.dependencies.index import PackageIndex
from fnpack.dependencies.selection import Selected
from fnpack.dependencies.sources import build_wheel
from fnpack.dependencies.target import Target
from fnpack.dependencies.wheels import WheelFile
from package_index import make_sdist, make_source, sha256

OWN = f"{sys.version_info.major}.{sys.version_info.minor}"
MACHINE = platform.machine()
HERE = Target("linux/arm64" if MACHINE == "aarch64" else "linux/amd64", OWN, libc_version=(2, 99))


def archive(path: Path) -> Selected:
    name, version = path.name.removesuffix(".tar.gz").removesuffix(".zip").rsplit("-", 1)
    return Selected("archive", name, version, path.name, sha256(path), path=str(path))


def built(path: Path, target: Target = HERE) -> WheelFile:
    if path.is_dir():
        return build_wheel(Selected("folder", path.name, path=str(path)), None, target, PackageIndex())
    return build_wheel(archive(path), path, target, PackageIndex())


def test_archive_becomes_a_wheel_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sdist = make_sdist(tmp_path, "mine", "1.0")
    wheel = built(sdist)
    assert (wheel.name, wheel.version, wheel.filename) == ("mine", "1.0", "mine-1.0-py3-none-any.whl")
    assert sha256(wheel.path) == wheel.sha256
    monkeypatch.setattr(sources, "run_uv", lambda *_: pytest.fail("built again"))
    assert built(sdist) == wheel


def test_same_source_gives_the_same_wheel_in_another_place_and_time(tmp_path: Path, clean_user: Path) -> None:
    one = built(make_source(tmp_path / "one/mine", "mine", "1.0"))
    first = one.path.read_bytes()
    shutil.rmtree(clean_user)
    source = make_source(tmp_path / "two/mine", "mine", "1.0")
    (source / "mine/__init__.py").chmod(0o600)
    os.utime(source / "mine/__init__.py", (10**9, 10**9))
    assert built(source).path.read_bytes() == first


def test_folder_is_left_as_it_was(tmp_path: Path) -> None:
    source = make_source(
        tmp_path / "mine",
        "mine",
        "1.0",
        broken="import os\nos.makedirs('build', exist_ok=True)\nopen('left.txt', 'w').close()\n",
    )
    before = sorted(path.relative_to(source) for path in source.rglob("*"))
    built(source)
    assert sorted(path.relative_to(source) for path in source.rglob("*")) == before


def test_edited_folder_is_built_again(tmp_path: Path) -> None:
    source = make_source(tmp_path / "mine", "mine", "1.0")
    first = built(source)
    (source / "mine/__init__.py").write_text("edited = True\n")
    with zipfile.ZipFile(built(source).path) as wheel:
        assert wheel.read("mine/__init__.py") == b"edited = True\n"
    assert built(source).sha256 != first.sha256


def test_failing_build_shows_its_output(tmp_path: Path) -> None:
    with pytest.raises(SourceBuildFailed) as caught:
        built(make_source(tmp_path / "mine", "mine", "1.0", broken="raise SystemExit('libfoo is missing')\n"))
    assert "mine has no wheel for the image, and building one" in str(caught.value)
    assert "libfoo is missing" in str(caught.value)
    assert "--builder docker" in (caught.value.hint or "")


@pytest.mark.skipif(sys.platform != "linux", reason="wheels for Linux are compiled on Linux")
def test_compiled_wheel_passes_only_where_the_image_can_load_it(tmp_path: Path) -> None:
    tag = f"cp{OWN.replace('.', '')}-cp{OWN.replace('.', '')}-linux_{MACHINE}"
    sdist = make_sdist(tmp_path, "fast", "1.0", tag=tag)
    assert built(sdist).filename == f"fast-1.0-{tag}.whl"
    with pytest.raises(
        CompiledElsewhere, match=r"fast is compiled.* this machine has glibc .*, which is newer"
    ):
        built(sdist, Target(HERE.platform, OWN, libc_version=(2, 17)))
    with pytest.raises(CompiledElsewhere, match="this machine has the C library glibc"):
        built(sdist, Target(HERE.platform, OWN, "musl"))
    other = "linux/amd64" if HERE.platform == "linux/arm64" else "linux/arm64"
    with pytest.raises(CompiledElsewhere, match="it became fast-1.0-cp") as caught:
        built(sdist, Target(other, OWN))
    assert "--builder docker" in (caught.value.hint or "")


def test_archive_that_leaves_its_folder_is_refused(tmp_path: Path) -> None:
    import tarfile

    path = tmp_path / "mine-1.0.tar.gz"
    with tarfile.open(path, "w:gz") as tarred:
        tarred.addfile(tarfile.TarInfo("mine-1.0/../../outside"))
    with pytest.raises(SourceBuildFailed, match="cannot be unpacked"):
        built(path)
    path.write_bytes(b"no archive")
    with pytest.raises(SourceBuildFailed, match="cannot be unpacked"):
        built(path)


def test_zip_archive_is_built(tmp_path: Path) -> None:
    make_source(tmp_path / "tree/mine-1.0", "mine", "1.0")
    path = Path(shutil.make_archive(str(tmp_path / "mine-1.0"), "zip", tmp_path / "tree"))
    assert built(path).filename == "mine-1.0-py3-none-any.whl"


@pytest.mark.skipif(not shutil.which("git"), reason="git is not installed")
def test_git_commit_is_built_and_a_wrong_one_told(tmp_path: Path) -> None:
    source = make_source(tmp_path / "repository", "mine", "1.0")

    def git(*arguments: str) -> str:
        identity = ["-c", "user.name=t", "-c", "user.email=t@t.example"]
        done = subprocess.run(
            ["git", *identity, *arguments], cwd=source, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    git("init", "--quiet")
    git("add", ".")
    git("commit", "--quiet", "--message", "first")
    commit = git("rev-parse", "HEAD")
    make_source(source, "mine", "2.0")
    git("commit", "--quiet", "--all", "--message", "second")
    selected = Selected("git", "mine", url=source.as_uri(), commit=commit)
    assert build_wheel(selected, None, HERE, PackageIndex()).version == "1.0"
    for wrong in ("0" * 40, "--upload-pack=x"):
        with pytest.raises(SourceBuildFailed, match="mine: "):
            build_wheel(
                Selected("git", "mine", url=source.as_uri(), commit=wrong), None, HERE, PackageIndex()
            )
