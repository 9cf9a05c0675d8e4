"""Images are made without what Linux and macOS alone have, the same to the byte. (Paths are Linux's all the same.)"""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
from plain_base import write_base
from tests.cli.conftest import CommandLine

from fnpack.cli.exit_codes import ExitCode

pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.skipif(sys.platform != "linux", reason="it looks into /proc for open files"),
]
PROGRAM = Path(__file__).with_name("other_system.py")
BUILD = ["build", "--model", "model.pkl", "--auth-level", "anonymous", "--platform", "linux/amd64"]


@pytest.fixture
def elsewhere(fnpack: CommandLine, tmp_path: Path):
    """Runs fnpack in the same project without POSIX, with a cache of its own."""

    def run(*arguments: str) -> str:
        settings = {**os.environ, "FNPACK_CACHE": str(tmp_path / "cache-elsewhere")}
        command = [sys.executable, str(PROGRAM), *arguments]
        done = subprocess.run(
            command, cwd=fnpack.folder, env=settings, capture_output=True, text=True, check=False, timeout=100
        )
        assert done.returncode == ExitCode.OK, done.stderr
        return done.stdout

    return run


def test_image_of_a_system_without_posix_is_the_same(fnpack, elsewhere, registry, tmp_path) -> None:
    base = write_base(tmp_path / "base", architecture="amd64")
    (fnpack.folder / "requirements.txt").write_text("iniconfig==2.3.0\n")
    options = [*BUILD, "--base-image", base]
    expected = fnpack(*options, "--no-check", "--output", "oci-layout:here")
    assert expected.code == ExitCode.OK, expected.stderr
    digest = expected.stdout.strip().rpartition("@")[2]
    for output in ("oci-layout:there", "oci-layout:there", "oci-layout:there.tar"):
        assert elsewhere(*options, "--output", output).strip().endswith(f"@{digest}")
    assert elsewhere(*options, "--output", "docker-archive:there.docker.tar")
    tag = f"{registry}/elsewhere-{uuid.uuid4().hex[:8]}:1"
    assert elsewhere(*options, "--tag", tag, "--push", "--sbom", "attach").strip().endswith(f"@{digest}")
    assert "iniconfig" in elsewhere("inspect", tag)


def test_command_that_needs_posix_says_so(fnpack) -> None:
    done = subprocess.run(
        [sys.executable, str(PROGRAM), "doctor"],
        cwd=fnpack.folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == ExitCode.MISSING_TOOL
    assert "Error FN006: this command runs on Linux and macOS alone" in done.stderr
    assert "`fnpack build` and `fnpack inspect` run here, too" in done.stderr


def test_edited_script_is_pushed_from_a_system_without_posix(fnpack, elsewhere, registry, tmp_path) -> None:
    base = write_base(tmp_path / "base", architecture="amd64")
    options = [
        *BUILD,
        "--base-image",
        base,
        "--tag",
        f"{registry}/elsewhere-{uuid.uuid4().hex[:8]}:1",
        "--push",
    ]
    first = elsewhere(*options)
    (fnpack.folder / "score.py").write_text("def init(): pass\n\ndef run(data): return [data]\n")
    second = elsewhere(*options)
    assert first != second == elsewhere(*options)
