from __future__ import annotations

import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from fnpack.oci.errors import WheelInvalid
from fnpack.oci.wheel import Wheel, read_wheel
from layer_files import Files, write_wheel

Rows = list[list[str]]


def refusal(path: Path) -> str:
    """Why a wheel is refused, at the latest when all of it is read."""
    with pytest.raises(WheelInvalid) as caught:
        read_all(read_wheel(path))
    assert path.name in str(caught.value)
    assert caught.value.hint
    return str(caught.value)


def read_all(wheel: Wheel) -> dict[str, bytes]:
    with wheel.path.open("rb") as file:
        return {name: b"".join(wheel.unpacked(member, file)) for name, member in wheel.members.items()}


def test_a_wheel_is_read_whole(tmp_path: Path) -> None:
    files: Files = {"demo/__init__.py": b"x = 1\n", "demo/data.bin": bytes(100_000), "demo/ü.txt": b"text"}
    wheel = read_wheel(write_wheel(tmp_path, files=files).path)
    assert (wheel.title, wheel.dist_info) == ("demo 1.0", "demo-1.0.dist-info")
    assert {name: data for name, data in read_all(wheel).items() if name in files} == files


def test_stored_members_are_read_as_deflated_ones_are(tmp_path: Path) -> None:
    files: Files = {"demo/data.bin": bytes(range(256)) * 1000}
    wheel = read_wheel(write_wheel(tmp_path, files=files, method=zipfile.ZIP_STORED).path)
    assert read_all(wheel)["demo/data.bin"] == files["demo/data.bin"]


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("../evil.py", "leads out of its folder"),
        ("demo/../../evil.py", "leads out of its folder"),
        ("/etc/passwd", "is absolute"),
        ("C:/evil.py", "is absolute"),
        ("demo\\..\\evil.py", "has a backslash"),
        ("demo//x.py", "is not in its shortest form"),
        ("demo/./x.py", "is not in its shortest form"),
        ("demo/\nx.py", "has a control character"),
        ("demo/" + "x" * 256, "has a name of more than 255 bytes"),
        ("demo/" + "x/" * 2500 + "x", "is longer than 4000 bytes"),
        ("demo/.wh.x", "has a name that deletes files of lower layers"),
    ],
)
def test_a_name_that_could_do_harm_is_refused(tmp_path: Path, name: str, what: str) -> None:
    assert what in refusal(write_wheel(tmp_path, files={name: b"x"}).path)


@pytest.mark.parametrize(
    ("mode", "what"),
    [
        (stat.S_IFLNK | 0o777, "is a symbolic link"),
        (stat.S_IFCHR | 0o666, "is a device"),
        (stat.S_IFIFO | 0o666, "is a device"),
        (stat.S_IFSOCK | 0o666, "is a device"),
    ],
)
def test_links_and_devices_are_refused(tmp_path: Path, mode: int, what: str) -> None:
    def add(archive: zipfile.ZipFile) -> None:
        entry = zipfile.ZipInfo("demo/special")
        entry.external_attr = mode << 16
        archive.writestr(entry, "/etc/passwd")

    assert what in refusal(write_wheel(tmp_path, change=add).path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_member_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    message = refusal(
        write_wheel(tmp_path, change=lambda archive: archive.writestr("demo/__init__.py", "other")).path
    )
    assert "`demo/__init__.py` is in it twice" in message


def test_a_file_that_is_also_a_folder_is_refused(tmp_path: Path) -> None:
    assert "`demo/x` is both" in refusal(write_wheel(tmp_path, files={"demo/x": b"1", "demo/x/y": b"2"}).path)


def patched(path: Path, change: Callable[[bytearray], None]) -> Path:
    data = bytearray(path.read_bytes())
    change(data)
    path.write_bytes(data)
    return path


def directory_entry(data: bytearray, name: bytes) -> int:
    """Where the central directory's entry of `name` is."""
    at = data.rfind(name)
    return data.rfind(b"PK\x01\x02", 0, at)


def test_an_encrypted_member_is_refused(tmp_path: Path) -> None:
    def encrypt(data: bytearray) -> None:
        data[directory_entry(data, b"demo/__init__.py") + 8] |= 1

    assert "is encrypted" in refusal(patched(write_wheel(tmp_path).path, encrypt))


@pytest.mark.parametrize("method", [12, 14, 93])
def test_another_compression_is_refused(tmp_path: Path, method: int) -> None:
    def change(data: bytearray) -> None:
        struct.pack_into("<H", data, directory_entry(data, b"demo/__init__.py") + 10, method)

    assert f"is compressed by method {method}" in refusal(patched(write_wheel(tmp_path).path, change))


def test_a_wrong_checksum_is_found(tmp_path: Path) -> None:
    def change(data: bytearray) -> None:
        data[directory_entry(data, b"demo/x.py") + 16] ^= 1

    path = write_wheel(tmp_path, files={"demo/x.py": b"x = 1\n" * 100}).path
    assert "`demo/x.py` does not have the checksum" in refusal(patched(path, change))


def test_another_name_in_the_local_header_is_found(tmp_path: Path) -> None:
    def change(data: bytearray) -> None:
        data[data.find(b"demo/x.py")] = ord("D")

    path = write_wheel(tmp_path, files={"demo/x.py": b"x = 1\n" * 100}).path
    assert "`demo/x.py` has another name in its header" in refusal(patched(path, change))


def test_members_that_share_bytes_are_refused(tmp_path: Path) -> None:
    """What zip bombs without nesting are made of."""

    def change(data: bytearray) -> None:
        first, second = (directory_entry(data, name) for name in (b"demo/a.py", b"demo/b.py"))
        data[second + 42 : second + 46] = data[first + 42 : first + 46]

    path = write_wheel(tmp_path, files={"demo/a.py": b"x" * 500, "demo/b.py": b"x" * 500}).path
    assert "shares bytes with another member" in refusal(patched(path, change))


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    path = write_wheel(tmp_path, files={"demo/zeros.bin": bytes(300_000_000)}).path
    assert "a zip bomb" in refusal(path)


def test_a_member_that_is_larger_than_it_says_is_stopped(tmp_path: Path) -> None:
    def change(data: bytearray) -> None:
        struct.pack_into("<I", data, directory_entry(data, b"demo/x.bin") + 24, 10)

    path = write_wheel(
        tmp_path,
        files={"demo/x.bin": bytes(5_000_000)},
        record=lambda rows: [
            [name, digest, "10" if name == "demo/x.bin" else size] for name, digest, size in rows
        ],
    ).path
    assert "`demo/x.bin` is larger than the 10 bytes that it says" in refusal(patched(path, change))


@pytest.mark.parametrize(
    ("record", "what"),
    [
        (lambda rows: rows[1:], "`demo/__init__.py` is not in RECORD"),
        (lambda rows: [*rows, ["demo/gone.py", "sha256=x", "1"]], "lists `demo/gone.py`, which is not there"),
        (lambda rows: [*rows, rows[0]], "lists `demo/__init__.py` twice"),
        (lambda rows: [[rows[0][0], rows[0][1], "7"], *rows[1:]], "has 0 bytes, and RECORD says 7"),
        (lambda rows: [[rows[0][0], "", ""], *rows[1:]], "has no digest in RECORD"),
        (lambda rows: [[rows[0][0], "md5=abc", ""], *rows[1:]], "has a digest in RECORD that is none"),
        (lambda rows: [[rows[0][0], "sha256=abc", ""], *rows[1:]], "has a digest in RECORD that is none"),
        (lambda rows: [["demo/__init__.py"], *rows[1:]], "has a row that is not of three"),
        (lambda rows: [*rows, ["../../etc/passwd", "sha256=x", "1"]], "lists `../../etc/passwd`"),
    ],
)
def test_a_bad_record_is_refused(tmp_path: Path, record: Callable[[Rows], Rows], what: str) -> None:
    assert what in refusal(write_wheel(tmp_path, record=record).path)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda path: path.write_bytes(b"not a zip"), "cannot be read as a zip file"),
        (lambda path: path.write_bytes(path.read_bytes()[:200]), "cannot be read as a zip file"),
        (lambda path: path.unlink(), "cannot be read as a zip file"),
    ],
)
def test_what_is_no_zip_file_is_refused(tmp_path: Path, change: Callable[[Path], object], what: str) -> None:
    path = write_wheel(tmp_path).path
    change(path)
    assert what in refusal(path)


def test_a_wheel_needs_one_folder_of_metadata_of_its_own(tmp_path: Path) -> None:
    path = write_wheel(tmp_path, files={"other-1.0.dist-info/METADATA": b"x"}).path
    assert "must have one .dist-info folder" in refusal(path)
    stranger = tmp_path / "stranger-1.0-py3-none-any.whl"
    write_wheel(tmp_path).path.rename(stranger)
    assert "is another project's" in refusal(stranger)
    assert "is not the name of a wheel" in refusal(write_wheel(tmp_path).path.rename(tmp_path / "demo.whl"))
