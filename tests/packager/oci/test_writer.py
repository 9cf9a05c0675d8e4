"""Layers are tars that anything can read, with digests that depend on their entries alone."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
import zlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fnpack.oci.writer import LayerWriter
from fnpack.oci.writer import _header as header

PARTS = st.text(
    st.characters(blacklist_categories=["Cs", "Cc"], blacklist_characters="/\\"), min_size=1, max_size=40
)
PATHS = st.lists(PARTS.filter(lambda part: part not in (".", "..")), min_size=1, max_size=4).map("/".join)
FILES = st.dictionaries(PATHS, st.tuples(st.binary(max_size=2000), st.booleans()), max_size=6)


def written(files, *, is_gzip, mtime_s=0):
    out = io.BytesIO()
    writer = LayerWriter(out, is_gzip=is_gzip, mtime_s=mtime_s)
    for number, (path, (data, executable)) in enumerate(sorted(files.items())):
        if number % 2:
            deflater = zlib.compressobj(wbits=-15)
            raw = deflater.compress(data) + deflater.flush()
            writer.deflated(path, [raw], len(data), zlib.crc32(data), is_executable=executable)
        else:
            writer.file(path, data, is_executable=executable)
    writer.close()
    return writer, out.getvalue()


def is_prefix_free(files) -> bool:
    return not any(other.startswith(f"{path}/") for path in files for other in files)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(FILES.filter(is_prefix_free), st.booleans())
def test_every_tar_reader_finds_the_files(files, is_gzip) -> None:
    writer, data = written(files, is_gzip=is_gzip)
    tar = gzip.decompress(data) if is_gzip else data
    assert writer.digest == f"sha256:{hashlib.sha256(data).hexdigest()}"
    assert writer.diff_id == f"sha256:{hashlib.sha256(tar).hexdigest()}"
    assert writer.size_bytes == len(data)
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        found = {
            one.name: (archive.extractfile(one).read(), one.mode == 0o755)  # type: ignore[union-attr]
            for one in archive
            if one.isfile()
        }
        folders = [one.name for one in archive if one.isdir()]
    assert found == files
    assert len(set(folders)) == len(folders)


@given(
    st.one_of(PATHS, st.text("aä", min_size=95, max_size=105)),
    st.one_of(st.integers(0, 1 << 40), st.sampled_from([(8 << 30) - 1, 8 << 30])),
    st.sampled_from([0o644, 0o755]),
    st.sampled_from([0, 1_700_000_000]),
    st.sampled_from([tarfile.REGTYPE, tarfile.DIRTYPE]),
)
def test_header_is_the_one_of_tarfile(path, size, mode, mtime_s, kind) -> None:
    entry = tarfile.TarInfo(path)
    entry.size, entry.mode, entry.mtime, entry.type = size, mode, mtime_s, kind
    expected = entry.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")
    assert header(path, size, mode, mtime_s, kind) == expected


def test_gzip_and_plain_have_one_diff_id() -> None:
    files = {"a/b.py": (b"x" * 100_000, False), "a/run": (b"#!", True)}
    assert written(files, is_gzip=True)[0].diff_id == written(files, is_gzip=False)[0].diff_id


def test_large_plain_content_is_in_stored_blocks_of_several_members() -> None:
    data = bytes(range(256)) * 12_000
    _, out = written({"big": (data, False)}, is_gzip=True)
    assert data in gzip.decompress(out)
    assert len(out) > len(data)


def test_time_of_all_entries_can_be_set() -> None:
    _, data = written({"a/b": (b"1", False)}, is_gzip=False, mtime_s=1_700_000_000)
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        assert {entry.mtime for entry in archive} == {1_700_000_000}


@pytest.mark.parametrize(
    ("size", "crc", "cut"), [(4, None, None), (6, None, None), (5, 1, None), (5, None, 3)]
)
def test_deflated_content_that_is_not_what_it_says_is_refused(size, crc, cut) -> None:
    deflater = zlib.compressobj(wbits=-15)
    raw = (deflater.compress(b"hello") + deflater.flush())[:cut]
    writer = LayerWriter(io.BytesIO(), is_gzip=True)
    with pytest.raises(ValueError, match="size|larger|checksum"):
        writer.deflated("a", [raw], size, zlib.crc32(b"hello") if crc is None else crc)


def test_stream_of_another_size_is_refused() -> None:
    for chunks in ([b"abc"], [b"abcd", b"ef"]):
        with pytest.raises(ValueError, match="changed"):
            LayerWriter(io.BytesIO(), is_gzip=False).stream("a", chunks, 5)
