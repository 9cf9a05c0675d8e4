from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, so that messages name files as a user sees them."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def app(folder: Path) -> Path:
    """A folder with a script, a source directory and two models."""
    (folder / "score.py").touch()
    (folder / "src").mkdir()
    (folder / "src/main.py").touch()
    (folder / "model.pkl").touch()
    (folder / "net").mkdir()
    (folder / "net/weights.bin").touch()
    return folder
