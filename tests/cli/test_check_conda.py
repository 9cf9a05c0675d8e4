"""Checks of apps whose Python comes from conda: from a channel that the test makes."""

from __future__ import annotations

import json
import os
import platform
import sys
from pathlib import Path

import pytest
from plain_base import OWN_PYTHON, write_base

from conda_channel import Package, add, index
from fnpack.cli.exit_codes import ExitCode

pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.skipif(sys.platform != "linux", reason="checks run natively on Linux alone"),
]


@pytest.fixture
def channel(tmp_path: Path) -> Path:
    """A Python that is the one of this test, and a package for it."""
    folder = tmp_path / "channel"
    subdir = "linux-aarch64" if platform.machine() == "aarch64" else "linux-64"
    name = f"bin/python{OWN_PYTHON}"
    script = f'#!/bin/sh\nexec {sys.executable} "$@"\n'.encode()
    files = {name: script, f"lib/python{OWN_PYTHON}/os.py": b"x = 1\n"}
    links = {"bin/python": f"python{OWN_PYTHON}"}
    add(folder, Package("python", f"{OWN_PYTHON}.1", files, subdir=subdir, links=links, executables=[name]))
    metadata = b"Metadata-Version: 2.1\nName: tool\nVersion: 1.0\n\nText\n"
    tool = {
        "site-packages/tool/__init__.py": b"version = '1.0'\n",
        "site-packages/tool-1.0.dist-info/METADATA": metadata,
    }
    add(folder, Package("tool", "1.0", tool, depends=["python"], noarch="python"))
    index(folder)
    return folder


def test_conda_environment_runs_the_check_and_stays_as_it_is(fnpack, channel, tmp_path) -> None:
    conda = {
        "channels": [str(channel)],
        "dependencies": [f"python={OWN_PYTHON}", "tool", {"pip": ["iniconfig==2.3.0"]}],
    }
    config = {"entryScript": "score.py", "environment": {"python": {"condaDependencies": conda}}}
    (fnpack.folder / "inferenceconfig.json").write_text(json.dumps(config))
    (fnpack.folder / "sample.txt").write_text("x")
    (fnpack.folder / "score.py").write_text(
        "import iniconfig, os, tool\n\ndef init(): pass\n\n"
        "def run(data):\n    return [tool.version, iniconfig.__name__, os.environ['PATH'].split(':')[0]]\n"
    )
    options = [
        "build", "--inference-config", "inferenceconfig.json", "--base-image", write_base(tmp_path / "base"),
        "--output", "oci-layout:out", "--auth-level", "anonymous",
    ]  # fmt: skip
    settings = {"RATTLER_CACHE_DIR": str(tmp_path / "rattler"), "CONDARC": os.devnull}
    unchecked = fnpack(*options, "--no-check", settings=settings, timeout_s=110)
    assert unchecked.code == ExitCode.OK, unchecked.stderr
    ended = fnpack(*options, "--sample", "sample.txt", settings=settings, timeout_s=110)
    assert ended.code == ExitCode.OK, ended.stderr
    assert 'sample.txt -> ["1.0", "iniconfig", "' in ended.stderr
    assert '/bin"]' in ended.stderr
    assert ended.stdout == unchecked.stdout, "the check has left nothing in the environment's folder"
    (fnpack.folder / "score.py").write_text("import uvloop\ndef init(): pass\ndef run(d): pass\n")
    again = fnpack(*options, settings=settings, timeout_s=110)
    assert again.code == ExitCode.OK, again.stderr  # what the host brings is there for the script, too
