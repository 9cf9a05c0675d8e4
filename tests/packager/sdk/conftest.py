"""A workspace in a project of its own; nothing of this machine's settings reaches it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from fnpack import Environment, InferenceConfig, Workspace

SCRIPT = "def init():\n    pass\n\n\ndef run(data):\n    return data\n"


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a script, a model file and a model folder."""
    for name in [name for name in os.environ if name.startswith("FNPACK_") and "TEST" not in name]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("FNPACK_HOME", str(tmp_path / "home"))
    folder = tmp_path / "project"
    (folder / "net" / "sub").mkdir(parents=True)
    monkeypatch.chdir(folder)
    (folder / "score.py").write_text(SCRIPT)
    (folder / "model.pkl").write_text("weights")
    (folder / "net" / "a.bin").write_text("a")
    (folder / "net" / "sub" / "b.bin").write_text("b")
    return folder


@pytest.fixture
def workspace(project: Path) -> Iterator[Workspace]:
    """A workspace whose services are ended, whatever the test did."""
    made = Workspace.create("test", show_output=False)
    yield made
    if made.path.exists():
        for service in made.webservices.values():
            service.delete()


@pytest.fixture
def config(project: Path) -> InferenceConfig:
    """The script, with an environment that needs no package."""
    environment = Environment("plain")
    environment.python.user_managed_dependencies = True
    return InferenceConfig("score.py", environment=environment)
