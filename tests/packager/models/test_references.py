"""`--model`: what is a path, what a name of the registry, and which of the two counts."""

from __future__ import annotations

from pathlib import Path

import pytest

from fnpack.config.build import complete
from fnpack.config.project import ProjectSettings, merge
from fnpack.errors import ConfigurationError
from fnpack.models.opened import registry_near
from fnpack.models.references import ModelFinder, Reference, reference
from fnpack.models.registry import Draft
from fnpack.spec import ModelSource


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with three versions of the model `diabetes` in its workspace, and nothing of this machine's."""
    for name in ("FNPACK_REGISTRY", "FNPACK_WORKSPACE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("FNPACK_HOME", str(tmp_path / "home"))
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    (folder / "score.py").touch()
    (folder / "model.pkl").write_text("weights")
    registry = registry_near(folder, make=True)
    assert registry is not None
    for _ in range(3):
        registry.register(Draft("diabetes", folder / "model.pkl"))
    return folder


def models(project: Path, *texts: str) -> tuple[ModelSource, ...]:
    raw = merge(ProjectSettings(), {}, {"entry_script": "score.py", "model": texts}, cwd=project)
    return complete(raw, ModelFinder(project)).app.models


def fault(project: Path, text: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        models(project, text)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("diabetes", Reference("diabetes")),
        ("diabetes:3", Reference("diabetes", 3)),
        ("diabetes:latest", Reference("diabetes")),
        ("a.b-c_d:12", Reference("a.b-c_d", 12)),
        ("diabetes:0", None),
        ("diabetes:", None),
        ("diabetes:v3", None),
        ("a/b", None),
        ("C:\\model.pkl", None),
        ("-x:1", None),
        ("", None),
    ],
)
def test_form_of_a_reference(text: str, expected: Reference | None) -> None:
    assert reference(text) == expected


def test_name_means_the_latest_and_a_version_itself(project: Path) -> None:
    latest, second = models(project, "diabetes", "other=diabetes:2")
    assert (latest.name, latest.version) == ("diabetes", "3")
    assert (second.name, second.version) == ("other", "2")
    for model in (latest, second):
        assert model.path.name == "model.pkl"
        assert model.path.read_text() == "weights"


def test_path_that_exists_wins(project: Path) -> None:
    (project / "diabetes").write_text("a file of that name")
    (project / "diabetes:2").write_text("and another")
    one, two = models(project, "diabetes", "x=diabetes:2")
    assert (one.path, one.version) == (project / "diabetes", "1")
    assert (two.path, two.version) == (project / "diabetes:2", "1")


def test_text_that_is_two_paths_is_refused(project: Path) -> None:
    (project / "lr=model.pkl").touch()
    assert "`lr=model.pkl` is a file, and it can be read as `model.pkl` under the name `lr`" in fault(
        project, "lr=model.pkl"
    )
    assert models(project, "x=./lr=model.pkl")[0].path == project / "lr=model.pkl"


def test_what_is_nowhere_is_told_with_what_there_is(project: Path) -> None:
    assert "there is no model `modle.pkl`; did you mean `model.pkl`?" in fault(project, "modle.pkl")
    assert "there is no model `diabtes`; did you mean `diabetes`?" in fault(project, "diabtes")
    assert "holds no model `diabetes:9`; its versions are 1, 2, 3" in fault(project, "diabetes:9")
    assert "`a b` cannot be the name of a model" in fault(project, "a b=diabetes:1")


def test_without_a_registry_none_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FNPACK_HOME", str(tmp_path / "home"))
    (tmp_path / "score.py").touch()
    assert "neither a file `diabetes:1` nor a model registry" in fault(tmp_path, "diabetes:1")
    assert "there is no model" in fault(tmp_path, "diabetes")
    assert not (tmp_path / "home").exists()


def test_registry_of_the_environment_counts(project: Path, monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setenv("FNPACK_REGISTRY", f"file://{tmp_path}/shared")
    registry = registry_near(project, make=True)
    assert registry is not None
    registry.register(Draft("shared-model", project / "model.pkl"))
    (found,) = models(project, "shared-model:1")
    assert found.path.read_text() == "weights"
    assert "no model `diabetes:1`" in fault(project, "diabetes:1")
