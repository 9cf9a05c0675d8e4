from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import pytest

from fnpack.oci.base import Base
from fnpack.oci.base.files import file_base
from fnpack.oci.base.python import BasePython, find_python
from fnpack.oci.cache import LayerCache
from fnpack.oci.content import Layer
from fnpack.oci.errors import BaseInvalid
from image_files import Tree, write_base_layout

GLIBC = b"\0GNU C Library (Debian GLIBC 2.36-9) stable release version 2.36.\n"
DEBIAN: Tree = {
    "bin": "usr/bin",
    "usr/bin": None,
    "usr/bin/python3": "python3.11",
    "usr/bin/python3.11": b"ELF",
    "usr/lib/python3/dist-packages": None,
    "usr/lib/x86_64-linux-gnu/libc.so.6": GLIBC,
}
OFFICIAL_SITE = "/usr/local/lib/python3.12/site-packages"
OFFICIAL: Tree = {
    "usr/local/bin/python3": "python3.12",
    "usr/local/bin/python3.12": b"ELF",
    "usr/local/lib/python3.12/site-packages": None,
}
ALPINE: Tree = {
    "usr/bin/python3": "python3.12",
    "usr/bin/python3.12": b"ELF",
    "usr/lib/python3.12/site-packages": None,
    "lib/ld-musl-x86_64.so.1": b"\x00\x001.2.4\x00",
}


def base(tmp_path: Path, *trees: Tree, path: str | None = None) -> Base:
    settings = {"Env": [f"PATH={path}"]} if path else {}
    return file_base(write_base_layout(tmp_path / "layout", trees, **settings))


@pytest.mark.parametrize(
    ("trees", "expected"),
    [
        ([DEBIAN], BasePython("3.11", "/usr/bin/python3.11", "glibc", (2, 36), "/usr/lib/python3/dist-packages")),
        (
            [DEBIAN, OFFICIAL],  # the one that comes first on PATH
            BasePython("3.12", "/usr/local/bin/python3.12", "glibc", (2, 36), OFFICIAL_SITE),
        ),
        ([ALPINE], BasePython("3.12", "/usr/bin/python3.12", "musl", (1, 2), "/usr/lib/python3.12/site-packages")),
        (
            [{"usr/bin/python3": "/etc/alternatives/python3", "etc/alternatives/python3": "/usr/bin/python3.9",
              "usr/bin/python3.9": b"", "lib64/libc-2.28.so": b"", "lib64/libc.so.6": "libc-2.28.so"}],
            BasePython("3.9", "/usr/bin/python3.9", "glibc", (2, 28), None),
        ),
        ([{"usr/bin/python3": b"ELF", "usr/bin/python3.10": b"ELF"}],
         BasePython("3.10", "/usr/bin/python3", None, None, None)),
        ([{"bin": "usr/bin", "usr/bin/python3": "../local/bin/python3.13", "usr/local/bin/python3.13": b""}],
         BasePython("3.13", "/usr/local/bin/python3.13", None, None, None)),
        ([DEBIAN, {"usr/bin/.wh.python3": b"", "usr/bin/python3.12": b""}, {"usr/bin/python3": "python3.12"}],
         BasePython("3.12", "/usr/bin/python3.12", "glibc", (2, 36), "/usr/lib/python3/dist-packages")),
    ],
)  # fmt: skip
def test_the_python_on_the_path_is_found(
    tmp_path: Path, cache: LayerCache, trees: list[Tree], expected: BasePython
) -> None:
    assert find_python(base(tmp_path, *trees), cache) == expected


def test_the_images_own_path_counts(tmp_path: Path, cache: LayerCache) -> None:
    conda: Tree = {"opt/conda/bin/python3": "python3.10", "opt/conda/bin/python3.10": b""}
    found = find_python(base(tmp_path, DEBIAN, conda, path="/opt/conda/bin:/usr/bin"), cache)
    assert (found.version, found.program) == ("3.10", "/opt/conda/bin/python3.10")


@pytest.mark.parametrize(
    "trees",
    [
        [{"usr/bin/perl": b""}],
        [DEBIAN, {"usr/bin/.wh.python3": b""}],
        [DEBIAN, {"usr/bin/.wh..wh..opq": b""}],
        [{"usr/bin/python3": "python3.11"}],
        [{"usr/bin/python3": "python3"}],
    ],
)
def test_without_python_there_is_none(tmp_path: Path, cache: LayerCache, trees: list[Tree]) -> None:
    found = find_python(base(tmp_path, *trees), cache)
    assert (found.version, found.program) == (None, None)


def test_layers_are_read_once(tmp_path: Path, cache: LayerCache) -> None:
    first = base(tmp_path, DEBIAN)
    found = find_python(first, cache)

    def never(layer: Layer) -> NoReturn:
        raise AssertionError(layer)

    assert find_python(replace(first, open_layer=never), LayerCache(cache.folder)) == found
    second = base(tmp_path / "more", DEBIAN, OFFICIAL)
    known = second.layers[0]
    read: list[Layer] = []

    def remembering(layer: Layer) -> object:
        read.append(layer)
        return layer.content.open()

    find_python(replace(second, open_layer=remembering), cache)  # type: ignore[arg-type]
    assert known not in read
    assert len(read) == 1


def test_a_broken_layer_is_named(tmp_path: Path, cache: LayerCache) -> None:
    good = base(tmp_path, DEBIAN)
    for data in (b"\x1f\x8bbroken", b"no tar" * 200):
        (tmp_path / "broken").write_bytes(data)
        broken = replace(good, open_layer=lambda layer: (tmp_path / "broken").open("rb"))
        with pytest.raises(BaseInvalid, match="cannot be read"):
            find_python(broken, cache)
