"""What is inflated is the same with ISA-L and, where that is not installed, with zlib."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import gzip, io, sys, zlib
if sys.argv[1] == "zlib":
    sys.modules["isal"] = None  # as where it is not installed
from fnpack.oci.inflating import InflateError, plain
from fnpack.oci.writer import LayerWriter

module = "isal" if "isal" in InflateError.__module__ or "igzip" in InflateError.__module__ else "zlib"
text = bytes(range(256)) * 9000
deflater = zlib.compressobj(wbits=-15)
raw = deflater.compress(text) + deflater.flush()
writer = LayerWriter(io.BytesIO(), is_gzip=True)
writer.deflated("a/b", [raw[:1000], raw[1000:]], len(text), zlib.crc32(text))
writer.close()
same = all(plain(io.BytesIO(one)).read() == text for one in (text, gzip.compress(text)))
try:
    LayerWriter(io.BytesIO(), is_gzip=True).deflated("a", [b"\\xff" * 50], 50, 0)
except (ValueError, InflateError):
    print(module, same, writer.digest, writer.diff_id)
"""


def told(inflater: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, inflater], capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout.split()


def test_zlib_does_the_same_where_there_is_no_isal() -> None:
    pytest.importorskip("isal")
    fast, usual = told("isal"), told("zlib")
    assert (fast[0], usual[0]) == ("isal", "zlib")
    assert fast[1] == "True"
    assert fast[1:] == usual[1:]
