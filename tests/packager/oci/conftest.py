from __future__ import annotations

from pathlib import Path

import pytest

from fnpack.oci.cache import LayerCache


@pytest.fixture
def cache(tmp_path: Path) -> LayerCache:
    """A cache of the test's own."""
    return LayerCache(tmp_path / "cache" / "layers")
