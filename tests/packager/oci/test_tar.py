from __future__ import annotations

import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fnpack.oci import tar

part = st.text(
    st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=60
).filter(lambda text: text.strip(".") != "")
path = st.lists(part, min_size=1, max_size=8).map("/".join)


def read_back(data: bytes) -> list[tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(data + tar.END)) as archive:
        return archive.getmembers()


@given(path, st.binary(max_size=1500), st.sampled_from([0o644, 0o755]))
def test_a_file_is_read_as_it_was_written(name: str, content: bytes, mode: int) -> None:
    data = tar.header(name, size_bytes=len(content), mode=mode) + content + tar.padding(len(content))
    assert len(data) % tar.BLOCK_BYTES == 0
    (found,) = read_back(data)
    assert (found.name, found.size, found.mode, found.mtime, found.uid, found.gid) == (
        name,
        len(content),
        mode,
        0,
        0,
        0,
    )
    with tarfile.open(fileobj=io.BytesIO(data + tar.END)) as archive:
        file = archive.extractfile(found)
        assert file is not None
        assert file.read() == content


@given(path)
def test_a_folder_and_a_link_are_read_as_they_were_written(name: str) -> None:
    folder, link = read_back(
        tar.header(name, kind=tar.FOLDER, mode=0o755) + tar.header("link", kind=tar.SYMLINK, link=name)
    )
    assert (folder.name, folder.isdir()) == (name, True)
    assert (link.linkname, link.issym()) == (name, True)


@pytest.mark.parametrize("size_bytes", [8**11 - 1, 8**11, 5 * 10**12])
def test_a_size_beyond_eight_gigabytes_is_kept(size_bytes: int) -> None:
    found = tarfile.TarFile(
        fileobj=io.BytesIO(tar.header("model.bin", size_bytes=size_bytes)), mode="r"
    ).next()
    assert found is not None
    assert found.size == size_bytes


@pytest.mark.parametrize("length", [99, 100, 101, 150, 255, 256, 257, 1000])
def test_names_of_every_length_are_kept(length: int) -> None:
    name = ("d" * 49 + "/") * (length // 50) + "f" * (length % 50 or 1)
    assert read_back(tar.header(name))[0].name == name


def test_short_names_have_one_block_and_need_no_extension() -> None:
    assert len(tar.header("home/site/wwwroot/score.py")) == tar.BLOCK_BYTES
    assert len(tar.header("a" * 90 + "/" + "b" * 90)) == tar.BLOCK_BYTES
