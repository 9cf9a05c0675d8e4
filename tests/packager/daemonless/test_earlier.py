"""What an image tells later builds: in labels that every engine takes, whatever there is to tell."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.plain_base import write_base

from fnpack.daemonless.base import Base
from fnpack.daemonless.earlier import Earlier
from fnpack.oci.base_python import base_python
from fnpack.oci.bases import LayoutBase
from fnpack.oci.layer_cache import Known, LayerCache
from fnpack.provenance.long_labels import MOST_BYTES


@pytest.fixture
def cache(tmp_path: Path, clean_user: Path) -> LayerCache:
    return LayerCache(clean_user / "layers")


def test_many_layers_and_libraries_are_told_in_labels_of_a_fit_size(tmp_path, cache, clean_user) -> None:
    libraries = [f"usr/lib/lib{number}.so.{number}" for number in range(500)]
    reference = write_base(tmp_path / "base", files=libraries)
    source = LayoutBase(tmp_path / "base")
    base = Base(source, base_python(source, None), reference, source.digest)
    known = {
        f"{n:064x}": Known("application/x", f"sha256:{n:064x}", f"sha256:{n:064x}", n) for n in range(60)
    }
    labels = Earlier(cache).labels(known, base)
    assert len(labels) > 5
    assert all(len(name) + len(text) <= MOST_BYTES for name, text in labels.items())
    later = Earlier(cache)
    later.take({"other": "label", **labels})
    assert later.layers == known
    assert base_python(source, clean_user) == base.python
    assert [path.name for path in (clean_user / "base-python").iterdir()] == [
        source.config().descriptor.digest[7:]
    ]


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"layers": [], "clashes": {}}', '{"layers": {"a": 1}}']
)
def test_label_that_is_not_understood_tells_nothing(cache, text: str) -> None:
    later = Earlier(cache)
    later.take({"io.fnpack.layers": text})
    later.take({})
    later.take({"io.fnpack.layers": None})
    assert (later.layers, later.clashes) == ({}, {})
