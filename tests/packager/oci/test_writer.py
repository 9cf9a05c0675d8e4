from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fnpack.oci import gzipped
from fnpack.oci.writer import DeflateFault, LayerWriter, inflated


def deflate(data: bytes, level: int = 6) -> bytes:
    compressor = zlib.compressobj(level, zlib.DEFLATED, -15)
    return compressor.compress(data) + compressor.flush()


contents = st.one_of(
    st.binary(max_size=2000), st.integers(0, 400_000).map(lambda size: b"fnpack " * (size // 7))
)


@given(st.binary(max_size=3000))
def test_a_stored_member_holds_its_data(data: bytes) -> None:
    assert gzip.decompress(gzipped.stored(data)) == data


@pytest.mark.parametrize("size", [0, 1, 0xFFFF, 0x10000, 0x1FFFE, 200_000])
def test_stored_blocks_of_any_size(size: int) -> None:
    assert gzip.decompress(gzipped.stored(bytes(size))) == bytes(size)


@given(st.lists(st.tuples(st.booleans(), contents, st.integers(1, 100_000)), max_size=6))
def test_a_layer_is_a_tar_with_the_digests_that_it_says(files: list[tuple[bool, bytes, int]]) -> None:
    out = io.BytesIO()
    writer = LayerWriter(out)
    writer.folder("d")
    for number, (is_deflated, data, cut) in enumerate(files):
        if is_deflated:
            packed = deflate(data)
            blocks = [packed[start : start + cut] for start in range(0, len(packed), cut)]
            writer.deflated(f"d/{number}", blocks, len(data), zlib.crc32(data))
        else:
            writer.stored(f"d/{number}", data, mode=0o755)
    descriptor, diff_id = writer.finish()
    layer = out.getvalue()
    plain = gzip.decompress(layer)
    assert descriptor.digest == f"sha256:{hashlib.sha256(layer).hexdigest()}"
    assert descriptor.size_bytes == len(layer)
    assert diff_id == f"sha256:{hashlib.sha256(plain).hexdigest()}"
    with tarfile.open(fileobj=io.BytesIO(plain)) as archive:
        found = [(one.name, archive.extractfile(one).read()) for one in archive if one.isreg()]  # type: ignore[union-attr]
    assert found == [(f"d/{number}", data) for number, (_, data, _) in enumerate(files)]


def test_the_compressed_bytes_of_a_file_are_copied_not_made() -> None:
    data = b"some text that another compressor would compress in another way " * 100
    packed = deflate(data, 9)
    out = io.BytesIO()
    writer = LayerWriter(out)
    writer.deflated("file", [packed], len(data), zlib.crc32(data))
    writer.finish()
    assert packed in out.getvalue()


@pytest.mark.parametrize(
    ("blocks", "size", "crc", "what"),
    [
        ([deflate(b"x" * 1000)], 999, zlib.crc32(b"x" * 1000), "is larger than the 999 bytes"),
        ([deflate(b"x" * 1000)], 1001, zlib.crc32(b"x" * 1000), "has 1000 bytes, and says 1001"),
        ([deflate(b"x" * 1000)], 1000, 7, "does not have the checksum"),
        ([deflate(b"x" * 1000)[:-3]], 1000, zlib.crc32(b"x" * 1000), "ends too early"),
        ([deflate(b"x" * 1000) + b"more"], 1000, zlib.crc32(b"x" * 1000), "has bytes behind its end"),
        ([deflate(b"x" * 1000), b"more"], 1000, zlib.crc32(b"x" * 1000), "has bytes behind its end"),
        ([b"\xff\xff\xff\xff"], 10, 0, "is not a deflate stream"),
    ],
)
def test_a_broken_stream_says_how(blocks: list[bytes], size: int, crc: int, what: str) -> None:
    with pytest.raises(DeflateFault, match=what):
        list(inflated(blocks, size, crc))


def test_a_bomb_is_stopped_long_before_it_is_unpacked() -> None:
    pieces = inflated([deflate(bytes(100_000_000), 9)], 5_000_000, 0)
    seen: list[int] = []
    with pytest.raises(DeflateFault, match="is larger"):
        seen.extend(map(len, pieces))
    assert sum(seen) <= 6_000_000
