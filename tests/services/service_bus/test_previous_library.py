"""The same contract with the minor version of the library before the current one, which users may have pinned."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from uv import find_uv_bin

PREVIOUS = "7.14.3"
EXTERNAL = "FNPACK_TEST_SERVICEBUS_CONNECTION"  # used by one process at a time; the embedded one will do
HERE = Path(__file__).parent


@pytest.fixture
def previous(tmp_path: Path) -> Path:
    """A folder with the previous version alone; put before the others it takes the current one's place."""
    target = ["--python", sys.executable, "--target", str(tmp_path / "previous"), "--no-deps", "--quiet"]
    done = subprocess.run(
        [find_uv_bin(), "pip", "install", *target, f"azure-servicebus=={PREVIOUS}"],
        text=True,
        capture_output=True,
        timeout=60,
        check=False,
    )
    if done.returncode:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(
            f"azure-servicebus {PREVIOUS} cannot be had: {done.stderr}"
        )
    return tmp_path / "previous"


def test_contract_holds_with_the_previous_version(previous: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(previous), "PYTEST_ADDOPTS": ""}
    for name in [*(name for name in environment if name.startswith("PYTEST_XDIST")), EXTERNAL]:
        environment.pop(name, None)
    check = "from azure.servicebus import __version__; print(__version__)"
    found = subprocess.run(
        [sys.executable, "-c", check], env=environment, text=True, capture_output=True, timeout=30, check=True
    )
    assert found.stdout.strip() == PREVIOUS
    quick = "not slow and not runs_out and not past_its_life and not does_not_exist"  # what takes time is the broker's
    files = [str(HERE / name) for name in ("test_library.py", "test_trigger.py")]
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:xdist",
            "-p",
            "no:cacheprovider",
            "-k",
            quick,
            *files,
        ],
        cwd=HERE.parents[2],
        env=environment,
        text=True,
        capture_output=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:]
