"""Checks in a container: what the Engine is asked, and what becomes of its answers. A stub runs the child here."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from docker.errors import APIError
from requests import ReadTimeout

from fnpack.app.directory import write_app
from fnpack.check.container import ContainerCheck
from fnpack.check.report import CheckFailed, CheckTooSlow
from fnpack.config.build import BuildSettings
from fnpack.progress import ProgressEvent
from fnpack.spec import AppSpec, Environment, HttpTrigger


class StubApi:
    """The calls of docker's APIClient that a check makes; `python` is started in place of the container's."""

    def __init__(self, root: Path, python: str = sys.executable) -> None:
        self.root, self.python = root, python
        self.limits: dict[str, Any] = {}
        self.removed: list[str] = []
        self.hangs = False
        self._command: list[str] = []
        self._stdin, self._ours = socket.socketpair()
        self._done: subprocess.CompletedProcess[bytes] | None = None

    def create_host_config(self, **limits: Any) -> dict[str, Any]:
        self.limits = limits
        return limits

    def create_container(self, image: str, command: list[str], **options: Any) -> dict[str, str]:
        assert options["entrypoint"] == ["python3"]
        self._command = [self.python, *command]
        return {"Id": "c1"}

    def attach_socket(self, container: str, params: object) -> object:
        return SimpleNamespace(_sock=self._ours, close=self._ours.close)

    def start(self, container: str) -> None:
        if self.python != sys.executable:
            raise APIError("exec format error", explanation="exec format error")

    def wait(self, container: str, timeout: int) -> dict[str, int]:
        if self.hangs:
            raise ReadTimeout
        given = b""
        while piece := self._stdin.recv(65536):
            given += piece
        given = given.replace(b"/home/site/wwwroot", str(self.root).encode())
        self._done = subprocess.run(
            self._command, input=given, capture_output=True, check=False, cwd=self.root, timeout=30
        )
        return {"StatusCode": self._done.returncode}

    def logs(self, container: str, *, stdout: bool, stderr: bool) -> bytes:
        if self._done is None:
            return b'{"step": "init"}\n' if stdout else b"loading\n"
        return self._done.stdout if stdout else self._done.stderr

    def remove_container(self, container: str, force: bool) -> None:
        self.removed.append(container)
        for one in (self._stdin, self._ours):
            one.close()


@pytest.fixture
def checked(tmp_path: Path) -> Callable[..., tuple[ContainerCheck, StubApi]]:
    def make(script: str, **options: Any) -> tuple[ContainerCheck, StubApi]:
        (tmp_path / "score.py").write_text(script)
        (tmp_path / "sample.txt").write_text("hello")
        spec = AppSpec(tmp_path / "score.py", None, (), (HttpTrigger(),), Environment())
        write_app(spec, tmp_path / "app", lock_text="")
        settings = BuildSettings(spec)._replace(sample=tmp_path / "sample.txt", check_timeout_s=9.5)
        api = StubApi(tmp_path / "app", **options)
        events: list[ProgressEvent] = []
        check = ContainerCheck(api, settings, events.append, "python3", "3.11")  # type: ignore[arg-type]
        return check, api

    return make


def test_image_is_checked_without_network_and_read_only(checked) -> None:
    check, api = checked("def init(): pass\ndef run(data): return data\n")
    outcome = check.run("sha256:1")
    assert (outcome.status, outcome.text) == ("passed", "sample.txt -> hello")
    assert (api.limits["network_mode"], api.limits["read_only"], api.limits["cap_drop"]) == (
        "none",
        True,
        ["ALL"],
    )
    assert api.removed == ["c1"]


def test_failure_tells_the_scripts_own_frames(checked) -> None:
    check, api = checked("def init():\n    print('so far')\n    raise ValueError('no')\ndef run(d): pass\n")
    with pytest.raises(CheckFailed, match="when init\\(\\) runs: ValueError: no") as caught:
        check.run("sha256:1")
    assert caught.value.output == ("so far",)
    assert "fnpack_scoring" not in str(caught.value)
    assert [line for line in caught.value.trace if "line 3, in init" in line]
    assert api.removed == ["c1"]


def test_image_that_the_engine_cannot_run_is_not_checked(checked) -> None:
    check, api = checked("def init(): pass\ndef run(d): pass\n", python="other")
    outcome = check.run("sha256:1")
    assert (outcome.status, outcome.text) == ("skipped", "the Engine cannot run it: exec format error")
    assert api.removed == ["c1"]


def test_container_that_takes_too_long_is_removed(checked) -> None:
    check, api = checked("def init(): pass\ndef run(d): pass\n")
    api.hangs = True
    with pytest.raises(
        CheckTooSlow, match=r"longer than 9.5 s, when init\(\) runs\n  it has printed:\n  \| loading"
    ):
        check.run("sha256:1")
    assert api.removed == ["c1"]
