"""Builds without an entry script: which script they get, and which packages."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import trained_models as trained

from fnpack.build import default_tag
from fnpack.config.build import BuildSettings, complete
from fnpack.config.built_in import with_packages
from fnpack.config.project import ProjectSettings, merge
from fnpack.errors import ConfigurationError
from fnpack.no_code import find
from fnpack.spec import CondaPackages, Environment, ModelSource

_FILE = "model.pkl"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FNPACK_CACHE", str(tmp_path / "cache"))
    (tmp_path / "project").mkdir()
    trained.pickled(tmp_path / "project")
    return tmp_path / "project"


def build(folder: Path, *models: str, **flags: str) -> BuildSettings:
    return complete(merge(ProjectSettings(), {}, {"model": models or (_FILE,), **flags}, cwd=folder))


def test_model_alone_gets_the_built_in_script_and_its_packages(folder: Path) -> None:
    settings = build(folder)
    spec = settings.app
    assert spec.built_in == "scikit-learn 1.7.2 (Pipeline, 4 features)"
    assert (spec.entry_script.name, spec.source_directory) == ("score.py", None)
    assert "FEATURES: int | None = 4" in spec.entry_script.read_text()
    assert spec.environment.requirements == ("scikit-learn==1.7.2", "numpy>=2")
    assert spec.environment.requirements_source == "the model model"
    assert default_tag(settings) == "fnpack/model:latest"


def test_pins_of_the_user_win(folder: Path) -> None:
    (folder / "requirements.txt").write_text("Scikit_Learn==1.6.1\npandas\n")
    environment = build(folder, requirements="requirements.txt").app.environment
    assert environment.requirements == ("Scikit_Learn==1.6.1", "pandas", "numpy>=2")
    assert environment.requirements_source.endswith("requirements.txt and the model model")


def test_inference_configuration_without_a_script_gives_the_environment(folder: Path) -> None:
    packages = {"dependencies": ["python=3.12", {"pip": ["numpy==2.1.0"]}]}
    environment = {"python": {"condaDependencies": packages}, "environmentVariables": {"A": "b"}}
    (folder / "ic.json").write_text(json.dumps({"environment": environment}))
    settings = build(folder, inference_config="ic.json")
    assert settings.app.environment.requirements == ("numpy==2.1.0", "scikit-learn==1.7.2")
    assert (settings.python_version, dict(settings.app.environment.variables)) == ("3.12", {"A": "b"})


def test_base_image_that_brings_all_packages_gets_none(folder: Path) -> None:
    (folder / "ic.json").write_text(
        json.dumps({"environment": {"python": {"userManagedDependencies": True}}})
    )
    assert build(folder, inference_config="ic.json").app.environment.requirements == ()


def test_another_package_of_the_same_library_counts_as_named(tmp_path: Path) -> None:
    found, _ = find(trained.xgboost_file(tmp_path))
    model = ModelSource("m", tmp_path)
    own = with_packages(Environment(("xgboost==3.1.0",)), found, model)
    assert own.requirements == ("xgboost==3.1.0", "numpy")
    conda = Environment(conda=CondaPackages(("py-xgboost=3.1", "numpy=2.2")))
    assert with_packages(conda, found, model).requirements == ()


def test_version_of_the_registered_model_counts_where_the_file_says_none(tmp_path: Path) -> None:
    path = trained.lightgbm_file(tmp_path)
    models = [ModelSource("m", path, "1", "LightGBM", "4.5.0")]
    settings = complete(merge(ProjectSettings(), {}, {}, cwd=tmp_path), models=models)
    assert settings.app.environment.requirements == ("lightgbm==4.5.0", "numpy")


def test_python_of_an_mlflow_model_is_taken_unless_another_is_named(tmp_path: Path) -> None:
    folder = trained.mlflow_folder(tmp_path)
    text = (folder / "MLmodel").read_text()
    (folder / "MLmodel").write_text(
        __import__("re").sub(r"python_version: .*", "python_version: 3.12.1", text)
    )
    assert build(tmp_path, "people").python_version == "3.12"
    assert build(tmp_path, "people", python_version="3.11").python_version == "3.11"
    assert build(tmp_path, "people", base_image="base").python_version is None


def test_script_that_is_named_is_used(folder: Path) -> None:
    (folder / "own.py").write_text("def init(): pass\ndef run(data): pass\n")
    spec = build(folder, entry_script="own.py").app
    assert (spec.built_in, spec.entry_script, spec.environment.requirements) == (None, folder / "own.py", ())


@pytest.mark.parametrize(
    ("models", "flags", "message"),
    [
        (
            (_FILE, "other=model.pkl"),
            {},
            "--model: there are 2 models (`model`, `other`) and no entry script",
        ),
        (("none.pkl",), {}, "--model: there is no model `"),
        ((_FILE,), {"source_directory": "."}, "--entry-script: no entry script is given"),
        (("notes.txt",), {}, "--model: no entry script is given, and `notes.txt` begins with b'hello'"),
    ],
)
def test_what_cannot_be_served_is_said(
    folder: Path, models: tuple[str, ...], flags: dict[str, str], message: str
) -> None:
    (folder / "notes.txt").write_text("hello")
    with pytest.raises(ConfigurationError) as caught:
        build(folder, *models, **flags)
    assert str(caught.value).startswith(message)
    assert len(caught.value.problems) == 1
