"""Builds on disks that are full and caches that are read-only: real small file systems, and the real command."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import uuid
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from plain_base import write_base
from tests.cli.conftest import CommandLine, Ended
from tests.cli.test_check import tags_of
from tests.conftest import missing

from fnpack.cli.exit_codes import ExitCode

pytestmark = [
    pytest.mark.timeout(180),
    pytest.mark.skipif(sys.platform != "linux", reason="mounts are Linux's"),
]
NOTE = "keep packages and layers for the next build: not done"


class Disk:
    """A file system of its own in memory, whose size can change."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()

    def mount(self, size: str) -> None:
        _mount("-t", "tmpfs", "-o", f"size={size}", "none", str(self.path))

    def resize(self, size: str) -> None:
        _mount("-o", f"remount,size={size}", str(self.path))

    def close_for_writing(self) -> None:
        _mount("-o", "remount,ro", str(self.path))

    def unmount(self) -> None:
        subprocess.run(["umount", "--lazy", str(self.path)], check=False, capture_output=True)


def _mount(*arguments: str) -> None:
    try:
        subprocess.run(["mount", *arguments], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        missing("a file system cannot be mounted here (it needs root)")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    found = Disk(tmp_path / "disk")
    yield found
    found.unmount()


@pytest.fixture(scope="module")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with the host's packages and layers, shared by the tests of this file."""
    folder = tmp_path_factory.mktemp("warm")
    project = CommandLine(folder / "project", folder / "home")
    project.folder.mkdir()
    project.home.mkdir()
    (project.folder / "score.py").write_text("def init(): pass\ndef run(d): return d\n")
    (project.folder / "model.pkl").write_bytes(b"weights")
    base = write_base(folder / "base")
    done = project(
        "build", "--model", "model.pkl", "--base-image", base, "--output", "oci-layout:out",
        settings={"FNPACK_CACHE": str(folder / "cache")},
    )  # fmt: skip
    assert done.code == ExitCode.OK, done.stderr
    return folder / "cache"


@pytest.fixture
def build(fnpack: CommandLine, warm: Path, tmp_path: Path) -> Callable[..., Ended]:
    """Builds the project, with an entry script that no check has passed yet, into the layout `out`."""
    base = write_base(tmp_path / "base")
    (tmp_path / "tmp").mkdir()
    (fnpack.folder / "score.py").write_text(f"def init(): pass\ndef run(d): return {uuid.uuid4().hex!r}\n")

    def run(*arguments: str, project: CommandLine = fnpack, **settings: str) -> Ended:
        options = ["build", "--model", "model.pkl", "--auth-level", "anonymous"]
        options += [] if "--base-image" in arguments else ["--base-image", base]
        options += (
            [] if {"--output", "--push"} & set(arguments) else ["--output", f"oci-layout:{tmp_path}/out"]
        )
        own = {"FNPACK_CACHE": str(warm), "TMPDIR": str(tmp_path / "tmp"), **settings}
        ended = project(*options, *arguments, settings=own, timeout_s=150)
        assert "Traceback" not in ended.stderr
        assert not list((tmp_path / "tmp").iterdir()), "files in the folder for temporary ones"
        return ended

    return run


def refused(ended: Ended, *codes: str, place: Path, hint: str) -> None:
    """The build has failed for want of space, and says where and what to do."""
    assert (ended.code, ended.stdout) == (ExitCode.FAILED, ""), ended.stderr
    error = ended.stderr[ended.stderr.index("Error FN") :]
    assert error[6:11] in codes, error
    assert str(place) in error
    assert "No space left on device" in error or "no space left" in error
    assert "Hint: " in error
    assert "free some space" in error
    assert hint in error


def half_written(cache: Path) -> list[Path]:
    """Files of a cache that no build may leave; uv looks after its own."""
    found = (path.relative_to(cache) for path in cache.rglob(".*"))
    return [path for path in found if "uv" not in path.parts and path.name != ".lock"]


def make_large_package(links: Path) -> None:
    """A wheel that is small, as its layer is, and takes 40 MB where it is unpacked."""
    links.mkdir()
    info = "roomy-1.0.dist-info"
    with zipfile.ZipFile(links / "roomy-1.0-py3-none-any.whl", "w", zipfile.ZIP_DEFLATED) as wheel:
        wheel.writestr("roomy/__init__.py", "")
        wheel.writestr("roomy/table.bin", b"0123456789abcdef" * 2_500_000)
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: roomy\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")


def test_full_cache_is_told_at_each_stage_and_nothing_is_pushed(
    fnpack, build, disk, registry, tmp_path
) -> None:
    make_large_package(tmp_path / "links")
    (fnpack.folder / "requirements.txt").write_text("roomy==1.0\n")
    tag = f"{registry}/full:{uuid.uuid4().hex[:8]}"
    disk.mount("64k")

    def push() -> Ended:
        return build(
            "--tag", tag, "--push", "--sbom", str(tmp_path / "sbom.json"),
            FNPACK_CACHE=str(disk.path), PIP_FIND_LINKS=str(tmp_path / "links"),
        )  # fmt: skip

    # Packages do not fit; then layers, which are made while the check unpacks; then only what the check unpacks.
    for size, codes in (("64k", ["FN488"]), ("5m", ["FN488", "FN442", "FN005"]), ("30m", ["FN005"])):
        disk.resize(size)
        refused(push(), *codes, place=disk.path, hint="FNPACK_CACHE")
        assert not half_written(disk.path)
        assert not tags_of(tag)
        assert not (tmp_path / "sbom.json").exists()
    disk.resize("300m")
    ended = push()
    assert ended.code == ExitCode.OK, ended.stderr
    assert "+ check (" in ended.stderr
    assert tags_of(tag) == [tag.rpartition(":")[2]]
    assert not half_written(disk.path)


def test_base_image_of_the_engine_that_does_not_fit_into_the_cache(
    build, disk, debian_base, docker_engine
) -> None:
    disk.mount("20m")
    ended = build(
        "--base-image", debian_base, FNPACK_CACHE=str(disk.path), DOCKER_HOST="unix:///var/run/docker.sock"
    )
    refused(ended, "FN005", place=disk.path, hint="FNPACK_CACHE")
    assert not list((disk.path / "bases").iterdir())


def test_layers_that_do_not_fit_into_the_cache_leave_no_part_there(build, disk, warm) -> None:
    disk.mount("100m")
    shutil.copytree(warm, disk.path, ignore=shutil.ignore_patterns("layers"), dirs_exist_ok=True)
    used = shutil.disk_usage(disk.path).used
    for more in (0, 500_000, 2_000_000):
        disk.resize(str(used + more))
        ended = build("--no-check", FNPACK_CACHE=str(disk.path))
        refused(ended, "FN442", place=disk.path, hint="FNPACK_CACHE")
        assert not half_written(disk.path)
    disk.resize("100m")
    assert build("--no-check", FNPACK_CACHE=str(disk.path)).code == ExitCode.OK


@pytest.mark.parametrize(
    "output", ["oci-layout:{}/sub/image", "oci-layout:{}/sub/image.tar", "docker-archive:{}/sub/image.tar"]
)
def test_full_disk_of_an_output_keeps_nothing_of_the_image(build, disk, tmp_path, output) -> None:
    arguments = ["--output", output.format(disk.path), "--sbom", str(tmp_path / "sbom.json")]
    for number, size in enumerate(("4k", "1m", "4m")):
        disk.mount(size) if number == 0 else disk.resize(size)
        refused(build(*arguments), "FN444", place=disk.path, hint="--output")
        assert not list(disk.path.iterdir())
        assert shutil.disk_usage(disk.path).used == 0
        assert not (tmp_path / "sbom.json").exists()
    disk.resize("60m")
    ended = build(*arguments)
    assert ended.code == ExitCode.OK, ended.stderr
    assert (tmp_path / "sbom.json").is_file()


def test_layout_that_is_there_stays_as_it_was_when_the_next_image_does_not_fit(fnpack, build, disk) -> None:
    disk.mount("8m")
    layout = CommandLine(disk.path / "image", fnpack.home)
    arguments = ["--output", f"oci-layout:{layout.folder}"]
    assert build(*arguments).code == ExitCode.OK
    before = layout.snapshot()
    (fnpack.folder / "model.pkl").write_bytes(os.urandom(8_000_000))
    refused(build(*arguments), "FN444", place=disk.path, hint="--output")
    assert layout.snapshot() == before
    disk.resize("60m")
    assert build(*arguments).code == ExitCode.OK
    assert set(layout.snapshot()) > set(before)


def test_full_disk_of_an_sbom_is_told_before_the_image_goes_anywhere(build, disk, tmp_path) -> None:
    disk.mount("4k")
    ended = build("--sbom", str(disk.path / "new" / "sbom.json"))
    refused(ended, "FN444", place=disk.path, hint="--sbom")
    assert not list(disk.path.iterdir())
    assert not (tmp_path / "out").exists()


def test_layers_are_made_without_temporary_files(build, disk, warm, tmp_path) -> None:
    cache = tmp_path / "cache"
    shutil.copytree(warm, cache, ignore=shutil.ignore_patterns("layers"), copy_function=os.link)
    disk.mount("8k")  # one page is left, so that Python takes it
    (disk.path / "full").write_bytes(b"x" * 4096)
    ended = build(FNPACK_CACHE=str(cache), TMPDIR=str(disk.path))
    assert ended.code == ExitCode.OK, ended.stderr
    assert ended.stdout == build().stdout, "another image than with room"


def test_project_on_a_full_disk_is_told_until_there_is_room(fnpack, build, disk) -> None:
    disk.mount("16k")
    project = CommandLine(disk.path, fnpack.home)
    for name in ("score.py", "model.pkl"):
        shutil.copy(fnpack.folder / name, disk.path)
    before, codes = project.snapshot(), set()
    for size in range(16, 2048, 64):
        disk.resize(f"{size}k")
        ended = build(project=project)
        assert project.snapshot() == before
        if ended.code == ExitCode.OK:
            break
        refused(ended, "FN339", "FN005", place=disk.path, hint="folder")
        codes.add(ended.stderr.partition("Error ")[2][:5])
    assert ended.code == ExitCode.OK
    assert codes == {"FN339", "FN005"}, "the app as it is written, and as the check copies it"


@pytest.mark.parametrize("kind", ["read-only", "file"])
def test_cache_that_cannot_be_written_costs_a_note_and_no_more(fnpack, build, disk, tmp_path, kind) -> None:
    (tmp_path / "file").write_text("")
    disk.mount("1m")
    disk.close_for_writing()
    cache = disk.path if kind == "read-only" else tmp_path / "file"
    ended = build(FNPACK_CACHE=str(cache), XDG_CACHE_HOME=str(disk.path))  # uv's cache, too
    assert ended.code == ExitCode.OK, ended.stderr
    (note,) = (line for line in ended.stderr.splitlines() if "cannot be written" in line)
    assert NOTE in note
    assert str(cache) in note
    assert "FNPACK_CACHE" in note
    assert "+ check (" in ended.stderr
    assert ended.stdout == build().stdout


def test_read_only_cache_that_is_filled_serves_a_build_without_any_index(
    fnpack, build, warm, tmp_path
) -> None:
    (fnpack.folder / "requirements.txt").write_text("iniconfig==2.3.0\n")
    (fnpack.folder / "score.py").write_text("import iniconfig\ndef init(): pass\ndef run(d): return d\n")
    first = build()
    assert first.code == ExitCode.OK, first.stderr
    offline = dict.fromkeys(
        ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"), "http://127.0.0.1:1"
    )
    offline |= {"NO_PROXY": "", "no_proxy": ""}
    read_only = tmp_path / "read-only"
    read_only.mkdir()
    _mount("--bind", str(warm), str(read_only))
    try:
        _mount("-o", "remount,bind,ro", str(read_only))
        ended = build(FNPACK_CACHE=str(read_only), **offline)
    finally:
        subprocess.run(["umount", str(read_only)], check=True)
    assert ended.code == ExitCode.OK, ended.stderr
    assert ended.stdout == first.stdout
    assert "made" not in ended.stderr
    assert ended.stderr.count("cannot be written") == 1
