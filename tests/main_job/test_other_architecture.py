"""An image for 64-bit ARM scores on this machine: built for it without Docker, run by the Engine through qemu."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from plain_base import OTHER_ARCHITECTURE

from base_image import make_layout
from emulation import runs_arm64
from services import UnavailableError

pytestmark = pytest.mark.timeout(300)
SCRIPT = """
import json
import platform

import numpy


def init():
    global weights
    weights = numpy.array([1.0, 2.0, 4.0])


def run(data):
    return {"score": float(weights @ numpy.array(json.loads(data))), "on": platform.machine()}
"""


@pytest.fixture
def arm64_base(docker_engine, tmp_path: Path) -> str:
    """Debian with its Python for arm64, which this machine can only play."""
    if OTHER_ARCHITECTURE != "arm64":
        pytest.skip("this machine is an arm64 itself: every other test runs images for it")
    if not runs_arm64():
        # A kernel or a mirror that knows one architecture only is no fault of the project, so CI goes on as well.
        pytest.skip("programs for arm64 do not run here (Debian: qemu-user-static; scripts/emulation.py)")
    try:
        return make_layout(tmp_path, "arm64")
    except UnavailableError as reason:
        pytest.skip(str(reason))


@contextmanager
def served(engine, reference: str) -> Iterator[str]:
    """The image's HTTP front, on a port of its own."""
    container = engine.containers.run(
        reference, detach=True, platform="linux/arm64", read_only=True, tmpfs={"/tmp": ""}, cap_drop=["ALL"],
        ports={"8080/tcp": ("127.0.0.1", None)},
    )  # fmt: skip
    try:
        container.reload()
        (port,) = container.ports["8080/tcp"]
        yield f"http://127.0.0.1:{port['HostPort']}"
    except BaseException:
        print(container.logs().decode())
        raise
    finally:
        container.remove(force=True)


def test_image_for_arm64_is_checked_and_scores(
    arm64_base: str, docker_engine, tmp_path: Path, wait_until: Callable[..., object]
) -> None:
    (tmp_path / "score.py").write_text(SCRIPT)
    (tmp_path / "requirements.txt").write_text("numpy==2.2.6\n")
    (tmp_path / "sample.json").write_text("[1, 1, 1]")
    tag = f"fnpack-test/arm64:{uuid.uuid4().hex[:8]}"
    done = subprocess.run(
        [sys.executable, "-m", "fnpack", "build", "--entry-script", "score.py", "--requirements", "requirements.txt",
         "--auth-level", "anonymous", "--platform", "linux/arm64", "--base-image", arm64_base, "--output", "engine",
         "--tag", tag, "--sample", "sample.json"],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=240,
        env={**os.environ, "FNPACK_CACHE": str(tmp_path / "cache")},
    )  # fmt: skip
    try:
        assert done.returncode == 0, done.stderr
        assert 'sample.json -> {"score": 7.0, "on": "aarch64"}' in done.stderr
        assert docker_engine.images.get(tag).attrs["Architecture"] == "arm64"
        with served(docker_engine, tag) as address:
            request = urllib.request.Request(f"{address}/api/score", data=b"[1, 0, 2]")

            def answer() -> bytes | None:
                try:
                    with urllib.request.urlopen(request, timeout=30) as response:
                        body: bytes = response.read()
                        return body
                except OSError:
                    return None

            said: Any = wait_until(answer, timeout_s=120, what="the image to score")
            assert json.loads(said) == {"score": 9.0, "on": "aarch64"}
    finally:
        for image in docker_engine.images.list(tag):
            docker_engine.images.remove(image.id, force=True)
