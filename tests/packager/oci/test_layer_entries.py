"""Reading a layer's entries: the same as tarfile finds, in every form that builders write."""

from __future__ import annotations

import gzip
import io
import re
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fnpack.oci.content import LAYER, BytesContent, Content, Descriptor
from fnpack.oci.layer_entries import LAYER_ERRORS, entries

FORMATS = [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]
KINDS = [
    tarfile.REGTYPE,
    tarfile.DIRTYPE,
    tarfile.SYMTYPE,
    tarfile.LNKTYPE,
    tarfile.CHRTYPE,
    tarfile.FIFOTYPE,
]
NAMES = st.lists(
    st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=90),
    min_size=1,
    max_size=4,
).map("/".join)
ENTRIES = st.lists(st.tuples(NAMES, st.sampled_from(KINDS), st.binary(max_size=1500), NAMES), max_size=6)


class Base:
    def __init__(self, data: bytes) -> None:
        self.data = data

    def config(self) -> BytesContent:
        raise AssertionError

    def layers(self) -> tuple[Content, ...]:
        raise AssertionError

    def open_layer(self, descriptor: Descriptor) -> io.BytesIO:
        return io.BytesIO(self.data)


def read(data: bytes, wanted: str | None = None) -> list[tuple[str, bytes]]:
    return list(
        entries(Base(data), BytesContent.of(data, LAYER), None if wanted is None else re.compile(wanted))
    )


def written(found, tar_format: int) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tar_format) as tar:
        for name, kind, content, target in found:
            entry = tarfile.TarInfo(name)
            entry.type, entry.mtime = kind, 1.5
            entry.size = len(content) if kind == tarfile.REGTYPE else 0
            entry.linkname = target if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE) else ""
            try:
                tar.addfile(entry, io.BytesIO(content))
            except ValueError:  # a name that ustar has no place for
                assert tar_format == tarfile.USTAR_FORMAT
    return out.getvalue()


@given(ENTRIES, st.sampled_from(FORMATS), st.booleans())
def test_finds_what_tarfile_finds(found, tar_format, is_gzip) -> None:
    data = written(found, tar_format)
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        expected = []
        for entry in tar:
            content = tar.extractfile(entry) if entry.isreg() else None
            expected.append((entry.name, content.read() if content else b""))
    assert read(gzip.compress(data) if is_gzip else data, "") == expected


def test_only_what_is_wanted_is_read() -> None:
    data = written([(name, tarfile.REGTYPE, b"x" * 700, "") for name in ("a", "b/c")], tarfile.GNU_FORMAT)
    assert read(data) == [("a", b""), ("b/c", b"")]
    assert read(data, r"^b/") == [("a", b""), ("b/c", b"x" * 700)]


def test_large_contents_are_gone_past() -> None:
    data = written(
        [("large", tarfile.REGTYPE, bytes(3_000_001), ""), ("after", tarfile.REGTYPE, b"1", "")],
        tarfile.PAX_FORMAT,
    )
    assert read(data, "after") == [("large", b""), ("after", b"1")]


def test_sparse_files_and_global_headers_are_gone_past() -> None:
    sparse = tarfile.TarInfo("holes")
    sparse.type, sparse.size = tarfile.GNUTYPE_SPARSE, 600
    head = bytearray(sparse.tobuf(tarfile.GNU_FORMAT))
    head[482] = 1  # the map goes on in a block of its own
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    out = io.BytesIO()
    with tarfile.open(
        fileobj=out, mode="w", format=tarfile.PAX_FORMAT, pax_headers={"comment": "of all"}
    ) as tar:
        after = tarfile.TarInfo("after")
        tar.addfile(after)
    data = bytes(head) + bytes(512) + b"x" * 600 + bytes(424) + out.getvalue()
    assert read(data) == [("holes", b""), ("after", b"")]


def test_size_beyond_eight_gigabytes_is_understood() -> None:
    entry = tarfile.TarInfo("huge")
    entry.size = 9 << 30
    for tar_format in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        with pytest.raises(LAYER_ERRORS, match="ends in the midst"):
            read(entry.tobuf(tar_format) + bytes(1024))


@pytest.mark.parametrize(
    "cut", [lambda data: data[:100], lambda data: data[:700], lambda data: data[:600] + b"x" + data[601:]]
)
def test_damaged_tar_is_refused(cut) -> None:
    data = written([("a", tarfile.REGTYPE, b"", ""), ("b", tarfile.REGTYPE, b"12", "")], tarfile.GNU_FORMAT)
    with pytest.raises(LAYER_ERRORS):
        read(cut(data))


@pytest.mark.parametrize("content", [b"no records", b"0 a=b\n", b"99999999999999999999 a=b\n", b"-5 a=b\n"])
def test_pax_header_that_cannot_be_read_is_refused(content) -> None:
    head = tarfile.TarInfo("x")
    head.type, head.size = tarfile.XHDTYPE, len(content)
    data = head.tobuf(tarfile.GNU_FORMAT) + content + bytes(-len(content) % 512) + bytes(1024)
    with pytest.raises(LAYER_ERRORS):
        read(data)
