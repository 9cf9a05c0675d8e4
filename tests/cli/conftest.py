"""Runs the real command in a child process, in a project of its own, and sees what it leaves behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

SCRIPT = "def init():\n    pass\n\n\ndef run(data):\n    return data\n"
NO_ENGINE = "unix:///nonexistent/docker.sock"
Snapshot = Mapping[str, bytes | None]


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def error(self) -> dict[str, str]:
        """The error object of a command that ran with --json: the only thing on stdout."""
        assert self.stdout, f"nothing on stdout, exit code {self.code}, stderr:\n{self.stderr}"
        facts = json.loads(self.stdout)
        assert facts["schema_version"] == 1
        error: dict[str, str] = facts["error"]
        assert set(error) == {"code", "message", "hint"}
        return error


@dataclass(frozen=True)
class CommandLine:
    """`fnpack` in a folder that holds a small project; nothing of this machine's settings reaches it."""

    folder: Path
    home: Path

    def environment(self, settings: Mapping[str, str] | None = None) -> dict[str, str]:
        """What a child process sees: no FNPACK_* of the caller, no Engine unless the test names one."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("FNPACK_")}
        own = {"HOME": str(self.home), "XDG_CACHE_HOME": str(self.home), "DOCKER_CONFIG": str(self.home)}
        return {**inherited, **own, "DOCKER_HOST": NO_ENGINE, "COLUMNS": "100", **(settings or {})}

    def __call__(
        self, *arguments: str, settings: Mapping[str, str] | None = None, timeout_s: float = 60
    ) -> Ended:
        """Run to the end."""
        done = subprocess.run(
            [sys.executable, "-m", "fnpack", *arguments],
            cwd=self.folder,
            env=self.environment(settings),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout_s,
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    def start(self, *arguments: str, settings: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        """Start without waiting."""
        return subprocess.Popen(
            [sys.executable, "-m", "fnpack", *arguments],
            cwd=self.folder,
            env=self.environment(settings),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def snapshot(self) -> Snapshot:
        """Every path below the folder with its content; None for a folder."""
        return {
            path.relative_to(self.folder).as_posix(): path.read_bytes() if path.is_file() else None
            for path in sorted(self.folder.rglob("*"))
        }


@pytest.fixture
def fnpack(tmp_path: Path) -> CommandLine:
    """The command, in a new project with `score.py` and `model.pkl`."""
    folder, home = tmp_path / "project", tmp_path / "home"
    folder.mkdir()
    home.mkdir()
    (folder / "score.py").write_text(SCRIPT, "utf-8")
    (folder / "model.pkl").write_bytes(b"weights")
    return CommandLine(folder, home)


@pytest.fixture
def build_app(fnpack: CommandLine) -> Callable[..., Path]:
    """Builds an app directory with the real command: `build_app("--trigger", "blob", script=...)`."""

    def build(*arguments: str, script: str = SCRIPT, name: str = "app") -> Path:
        (fnpack.folder / "score.py").write_text(script, "utf-8")
        ended = fnpack("build", *arguments, "--app-only", name)
        assert ended.code == 0, ended.stderr
        return fnpack.folder / name

    return build
