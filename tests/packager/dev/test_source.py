"""What is run, and which changes matter."""

from __future__ import annotations

from pathlib import Path

import pytest
import trained_models as trained

from fnpack.dev.errors import DevError
from fnpack.dev.source import AppSource, ProjectSource, source_of

SCRIPT = "def init(): pass\ndef run(data): return data\n"


def test_folder_is_told_apart(tmp_path: Path) -> None:
    with pytest.raises(DevError, match="is neither a function app nor a project") as caught:
        source_of(tmp_path, tmp_path / "target")
    assert "--services-only" in str(caught.value.hint)
    with pytest.raises(DevError, match="is not a folder"):
        source_of(tmp_path / "nowhere", tmp_path / "target")
    (tmp_path / "pyproject.toml").write_text("[tool.fnpack]\n")
    assert isinstance(source_of(tmp_path, tmp_path / "target"), ProjectSource)
    (tmp_path / "function_app.py").touch()
    assert isinstance(source_of(tmp_path, tmp_path / "target"), AppSource)


def test_what_an_app_writes_for_itself_is_no_change(tmp_path: Path) -> None:
    app = AppSource(tmp_path)
    assert app.matters(tmp_path / "lib" / "a.py")
    assert app.matters(tmp_path / "f" / "function.json")
    assert not app.matters(tmp_path / "results.json")
    assert not app.matters(tmp_path / "cache.sqlite")


def test_project_is_built_where_it_was_told_and_its_models_are_watched(tmp_path: Path) -> None:
    project, beside = tmp_path / "project", tmp_path / "models"
    project.mkdir()
    beside.mkdir()
    (project / "score.py").write_text(SCRIPT)
    (project / "requirements.txt").write_text("no-such-package==1\n")
    (beside / "model.bin").write_bytes(b"weights")
    (project / "fnpack.toml").write_text(f'model = ["{beside}/model.bin"]\n')
    source = source_of(project, tmp_path / "state" / "app")
    assert source.prepare() == tmp_path / "state" / "app"
    assert (tmp_path / "state" / "app" / "score" / "function.json").is_file()
    assert set(source.watched) == {project, beside / "model.bin"}
    assert source.matters(beside / "model.bin")
    assert source.matters(project / "fnpack.toml")
    assert not source.matters(project / "notes.md")


def test_project_of_a_model_alone_is_built_and_its_script_is_not_watched(tmp_path: Path) -> None:
    trained.lightgbm_file(tmp_path)
    (tmp_path / "fnpack.toml").write_text('model = ["model.txt"]\n')
    source = source_of(tmp_path, tmp_path / "state" / "app")
    assert "lightgbm.Booster" in (source.prepare() / "score.py").read_text()
    assert set(source.watched) == {tmp_path}
    assert source.matters(tmp_path / "model.txt")
