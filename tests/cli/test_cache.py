"""The cache over time: builds keep what they use, and it does not grow for ever."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from plain_base import write_base

from fnpack.cli.exit_codes import ExitCode

pytestmark = pytest.mark.timeout(120)
LONG_AGO = time.time() - 40 * 24 * 3600


def test_build_keeps_the_wheels_that_it_uses_and_removes_those_that_none_does(fnpack, tmp_path: Path) -> None:
    base, cache = write_base(tmp_path / "base"), tmp_path / "cache"
    options = ["build", "--model", "model.pkl", "--auth-level", "anonymous", "--base-image", base]

    def build() -> str:
        ended = fnpack(*options, "--output", "oci-layout:out", settings={"FNPACK_CACHE": str(cache)})
        assert ended.code == ExitCode.OK, ended.stderr
        return str(ended.stdout)

    (fnpack.folder / "requirements.txt").write_text("iniconfig==2.3.0\n")
    first = build()
    wheels = {path.name for path in cache.glob("wheels/*/*/*")}
    (dropped,) = cache.glob("wheels/*/*/iniconfig-*")
    (fnpack.folder / "requirements.txt").write_text("")
    for path in (*cache.glob("wheels/*/*/*"), cache / "pruned"):
        os.utime(path, (LONG_AGO, LONG_AGO))
    assert build() != first  # its other layers are known, so no wheel is opened
    assert {path.name for path in cache.glob("wheels/*/*/*")} == wheels - {dropped.name}
    ended = fnpack("doctor", settings={"FNPACK_CACHE": str(cache)})
    assert f"GB in {cache}; it may be deleted between builds" in ended.stdout
