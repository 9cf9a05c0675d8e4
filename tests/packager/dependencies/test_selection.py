"""Which file of a lock an image gets."""

from __future__ import annotations

from pathlib import Path

import pytest

from fnpack.dependencies.errors import NoFittingWheel
from fnpack.dependencies.lockfile import Inputs, Lock
from fnpack.dependencies.selection import Selected, select
from fnpack.dependencies.target import Libc, Target

HASH = "0" * 64


def lock_of(folder: Path, *files: str, marker: str = "") -> Lock:
    wheels = ", ".join(
        f'{{ url = "https://h.example/{name}", hashes = {{ sha256 = "{HASH}" }} }}'
        for name in files
        if ".whl" in name
    )
    sdists = [name for name in files if name.endswith(".tar.gz")]
    text = f'lock-version = "1.0"\ncreated-by = "x"\n[[packages]]\nname = "a"\nversion = "1"\n{marker}'
    text += f"wheels = [{wheels}]\n" if wheels else ""
    for name in sdists:
        text += f'sdist = {{ url = "https://h.example/{name}", hashes = {{ sha256 = "{HASH}" }} }}\n'
    return Lock(folder, text, Inputs((), "3.11", {}, ""))


def chosen(folder: Path, *files: str, target: Target) -> str:
    (one,) = select(lock_of(folder, *files), target)
    return one.filename


def target(
    platform: str = "linux/amd64",
    python: str = "3.11",
    libc: Libc = "glibc",
    version: tuple[int, int] | None = None,
) -> Target:
    return Target(platform, python, libc, version)


@pytest.mark.parametrize(
    ("files", "where", "best"),
    [
        (["cp311-cp311-manylinux_2_28_x86_64", "cp311-cp311-manylinux_2_17_x86_64"], target(), 0),
        (
            ["cp311-cp311-manylinux_2_28_x86_64", "cp311-cp311-manylinux_2_17_x86_64"],
            target(version=(2, 27)),
            1,
        ),
        (["cp311-cp311-manylinux_2_34_x86_64", "py3-none-any"], target(version=(2, 36)), 0),
        (["cp311-cp311-manylinux_2_34_x86_64", "py3-none-any"], target(), 1),
        (["cp311-cp311-manylinux2014_aarch64", "cp311-cp311-manylinux2014_x86_64"], target("linux/arm64"), 0),
        (["cp311-cp311-musllinux_1_2_x86_64", "cp311-cp311-manylinux2014_x86_64"], target(libc="musl"), 0),
        (["cp311-cp311-musllinux_1_2_x86_64", "cp311-cp311-manylinux2014_x86_64"], target(), 1),
        (["cp39-abi3-manylinux2014_x86_64", "cp312-cp312-manylinux2014_x86_64"], target(), 0),
        (["cp39-abi3-manylinux2014_x86_64", "cp312-cp312-manylinux2014_x86_64"], target(python="3.12"), 1),
        (["cp310-cp310-manylinux1_x86_64", "py2.py3-none-any"], target(python="3.10"), 0),
        (["cp313-cp313t-manylinux2014_x86_64", "cp313-cp313-manylinux2014_x86_64"], target(python="3.13"), 1),
        (["cp311-cp311-win_amd64", "cp311-cp311-linux_x86_64"], target(), 1),
    ],
)
def test_best_wheel_for_the_image_is_chosen(
    tmp_path: Path, files: list[str], where: Target, best: int
) -> None:
    names = [f"a-1-{tag}.whl" for tag in files]
    assert chosen(tmp_path, *names, target=where) == names[best]
    assert chosen(tmp_path, *reversed(names), target=where) == names[best]


def test_source_is_taken_where_no_wheel_fits(tmp_path: Path) -> None:
    (one,) = select(lock_of(tmp_path, "a-1-cp312-cp312-win_amd64.whl", "a-1.tar.gz"), target())
    assert (one.kind, one.filename, one.wheel) == ("archive", "a-1.tar.gz", None)


def test_nothing_that_fits_names_the_package_and_the_image(tmp_path: Path) -> None:
    with pytest.raises(NoFittingWheel, match=r"Python 3.11 on linux/amd64 \(glibc 2.28\): .*'a'"):
        select(lock_of(tmp_path, "a-1-cp312-cp312-win_amd64.whl"), target())


def test_package_whose_marker_fails_is_left_out(tmp_path: Path) -> None:
    marker = "marker = \"platform_machine == 'aarch64'\"\n"
    files = ["a-1-py3-none-any.whl"]
    assert select(lock_of(tmp_path, *files, marker=marker), target()) == ()
    assert len(select(lock_of(tmp_path, *files, marker=marker), target("linux/arm64"))) == 1


def test_choice_is_remembered_by_the_locks_digest(tmp_path: Path, clean_user: Path) -> None:
    lock = lock_of(tmp_path, "a-1-py3-none-any.whl")
    first = select(lock, target())
    (note,) = (clean_user / "selections").iterdir()
    note.write_text(note.read_text().replace('"version":"1"', '"version":"remembered"'))
    assert [one.version for one in select(lock, target())] == ["remembered"]
    assert select(lock, target(version=(2, 36))) == first


def test_spoilt_memory_does_no_harm(tmp_path: Path, clean_user: Path) -> None:
    lock = lock_of(tmp_path, "a-1-py3-none-any.whl")
    first = select(lock, target())
    (note,) = (clean_user / "selections").iterdir()
    note.write_bytes(note.read_bytes()[:20])
    assert select(lock, target()) == first


def test_place_of_a_wheel_is_known_before_it_is_fetched() -> None:
    wheel = Selected("wheel", "a", "1", "a-1-py3-none-any.whl", HASH, "https://h.example/a").wheel
    assert wheel is not None
    assert wheel.path.parts[-3:] == ("00", HASH, "a-1-py3-none-any.whl")
