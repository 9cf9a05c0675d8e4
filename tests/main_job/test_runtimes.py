"""An image made without Docker runs under the runtimes of others: podman, and containerd as Kubernetes has it.

Each takes it from an OCI layout, and runs it as its own user on a read-only root file system.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

SCRIPT = """
import os

import idna


def init():
    try:
        open("/here", "w").close()
    except OSError:
        print("read-only")


def run(data):
    return [os.getuid(), idna.encode("bücher").decode(), data]
"""
LIMITS = ["--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024"]  # no more than a machine in a machine may
TAG = "docker.io/library/fnpack-runtimes:1"


def program(name: str, package: str) -> str:
    found = shutil.which(name)
    if not found or os.getuid() != 0:
        reason = f"{name} is not installed (Debian: {package})" if not found else f"{name} needs root here"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    return found


@pytest.fixture(scope="module")
def layout(debian_base: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An OCI layout as one file, with a function for HTTP."""
    folder = tmp_path_factory.mktemp("runtimes")
    (folder / "score.py").write_text(SCRIPT)
    (folder / "requirements.txt").write_text("idna==3.10\n")
    subprocess.run(
        [sys.executable, "-m", "fnpack", "build", "--entry-script", "score.py", "--requirements", "requirements.txt",
         "--trigger", "http", "--auth-level", "anonymous", "--base-image", debian_base, "--tag", TAG,
         "--output", "oci-layout:image.tar"],
        cwd=folder, check=True, capture_output=True, timeout=240,
    )  # fmt: skip
    return folder / "image.tar"


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder with a short name: sockets are made in it."""
    with tempfile.TemporaryDirectory(prefix="fnp-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@contextmanager
def running(command: list[str], log: Path) -> Iterator[None]:
    with log.open("wb") as out, subprocess.Popen(command, stdout=out, stderr=out) as process:
        try:
            yield
        finally:
            process.terminate()
            process.wait(20)


def answer(port: int) -> list[object] | None:
    """What the function gives, once it is up."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}/api/score", b"text", method="POST")
    try:
        with urllib.request.urlopen(request, timeout=5) as response:
            return json.loads(response.read())
    except (urllib.error.URLError, ConnectionError):
        return None


def check_answer(port: int, log: Path, wait_until: Callable[..., object]) -> None:
    try:
        found = wait_until(lambda: answer(port), timeout_s=60, interval_s=0.2, what="an answer")
    except pytest.fail.Exception:
        pytest.fail(log.read_text())
    assert found == [10001, "xn--bcher-kva", "text"]
    wait_until(lambda: "read-only" in log.read_text(), what="the line of init()")


def test_podman(layout: Path, short_folder: Path, free_port, wait_until) -> None:
    place = [
        "--root",
        f"{short_folder}/store",
        "--runroot",
        f"{short_folder}/run",
        "--storage-driver",
        "overlay",
    ]
    podman = [program("podman", "podman"), *place, "--cgroup-manager", "cgroupfs", "--events-backend", "file"]
    log, port = short_folder / "log", free_port()
    done = subprocess.run(
        [*podman, "pull", "--quiet", f"oci-archive:{layout}"], check=True, capture_output=True, text=True
    )
    command = [*podman, "run", "--rm", "--read-only", "--network=host", "--cap-drop=all", *LIMITS]
    try:
        with running([*command, "--env", f"FNPACK_PORT={port}", done.stdout.strip()], log):
            check_answer(port, log, wait_until)
    finally:
        subprocess.run([*podman, "rmi", "--all", "--force"], capture_output=True, check=False)


def test_containerd(layout: Path, short_folder: Path, free_port, wait_until) -> None:
    address, port, log = short_folder / "c.sock", free_port(), short_folder / "log"
    daemon = [program("containerd", "containerd"), "--root", f"{short_folder}/root",
              "--state", f"{short_folder}/state", "--address", str(address)]  # fmt: skip
    ctr = [program("ctr", "containerd"), "--address", str(address), "--namespace", "fnpack"]
    with running(daemon, short_folder / "daemon"):
        wait_until(address.exists, timeout_s=30, what=f"{address}")
        subprocess.run([*ctr, "image", "import", layout], check=True, capture_output=True)
        run = [*ctr, "run", "--rm", "--read-only", "--net-host", "--env", f"FNPACK_PORT={port}", TAG, "score"]
        try:
            with running(run, log):
                check_answer(port, log, wait_until)
        finally:
            for command in (["task", "kill", "--signal", "SIGKILL", "score"], ["container", "rm", "score"]):
                subprocess.run([*ctr, *command], capture_output=True, check=False)
