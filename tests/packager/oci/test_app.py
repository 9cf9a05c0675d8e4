from __future__ import annotations

import os
from pathlib import Path

import pytest

from fnpack.app.directory import write_app
from fnpack.image.context import write_context
from fnpack.oci import app as app_module
from fnpack.oci.app import app_labels, app_recipe, model_recipes, path_file_recipe
from fnpack.oci.cache import LayerCache
from fnpack.spec import AppSpec, Environment, HttpTrigger, ModelSource
from fnpack_triggers.errors import FnpackError
from layer_files import layer_files

WWWROOT = "home/site/wwwroot/"


@pytest.fixture
def spec(tmp_path: Path) -> AppSpec:
    project = tmp_path / "project"
    (project / "weights" / "deep").mkdir(parents=True)
    (project / "score.py").write_text("def init():\n    pass\n\n\ndef run(data):\n    return data\n")
    (project / "model.pkl").write_bytes(b"model")
    (project / "weights" / "a.bin").write_bytes(b"a" * 1000)
    (project / "weights" / "deep" / "b.bin").write_bytes(b"b" * 2000)
    models = (ModelSource("one", project / "model.pkl"), ModelSource("two", project / "weights", "7"))
    return AppSpec(project / "score.py", None, models, (HttpTrigger(),), Environment())


@pytest.fixture
def app(spec: AppSpec, tmp_path: Path) -> Path:
    return write_app(spec, tmp_path / "app", lock_text="").path


def test_models_and_app_together_are_the_app_directory(app: Path, spec: AppSpec, cache: LayerCache) -> None:
    recipes = (*model_recipes(spec.models), app_recipe(app))
    found: dict[str, bytes] = {}
    for recipe in recipes:
        found |= layer_files(recipe.make(cache))
    expected = {
        WWWROOT + path.relative_to(app).as_posix(): path.read_bytes()
        for path in app.rglob("*")
        if path.is_file()
    }
    assert found == expected
    assert [recipe.title for recipe in recipes] == ["model one:1", "model two:7", "app"]


def test_an_app_that_is_large_leaves_no_notes_of_files_that_will_be_gone(
    app: Path, cache: LayerCache
) -> None:
    (app / "data.bin").write_bytes(bytes(9 << 20))
    files = layer_files(app_recipe(app).make(cache))
    assert len(files[WWWROOT + "data.bin"]) == 9 << 20
    assert not cache.folder.exists()


def test_a_large_file_has_a_layer_of_its_own(
    spec: AppSpec, cache: LayerCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app_module, "_LARGE_BYTES", 1500)
    recipes = model_recipes(spec.models)
    assert [recipe.title for recipe in recipes] == [
        "model one:1",
        "model two:7 b.bin",
        "model two:7 small files",
    ]
    assert list(layer_files(recipes[1].make(cache))) == [WWWROOT + "azureml-models/two/7/weights/deep/b.bin"]
    monkeypatch.setattr(app_module, "_LARGE_BYTES", 3)
    monkeypatch.setattr(app_module, "_MOST_LARGE", 1)
    titles = [recipe.title for recipe in model_recipes(spec.models)]
    assert titles == ["model one:1", "model two:7 b.bin", "model two:7 small files"]


def test_what_is_not_the_apps_stays_out(app: Path, cache: LayerCache) -> None:
    for name in ("local.settings.json", ".python_packages/x.py", "__pycache__/score.pyc"):
        (app / name).parent.mkdir(exist_ok=True)
        (app / name).write_text("{}")
    names = set(layer_files(app_recipe(app).make(cache)))
    assert {WWWROOT + "host.json", WWWROOT + "score.py"} <= names
    assert not any(
        "local.settings" in name or ".python_packages" in name or "pycache" in name for name in names
    )


def test_an_edit_changes_the_app_layer_alone(app: Path, spec: AppSpec, cache: LayerCache) -> None:
    def digests() -> list[str]:
        return [one.make(cache).descriptor.digest for one in (*model_recipes(spec.models), app_recipe(app))]

    before = digests()
    (app / "score.py").write_text("def init(): ...\ndef run(data): ...\n")
    assert [old == new for old, new in zip(before, digests(), strict=True)] == [True, True, False]


def test_labels_are_those_of_a_dockerfile(
    app: Path, spec: AppSpec, tmp_path: Path, cache: LayerCache
) -> None:
    context = write_context(
        app,
        tmp_path / "context",
        host="fnpack",
        base_image="base:1",
        python_version="3.11",
        platform="linux/amd64",
    )
    assert app_labels(app, "base:1", spec.models, cache) == context.labels


def test_a_device_in_a_model_is_refused(spec: AppSpec) -> None:
    os.mkfifo(spec.models[1].path / "pipe")
    with pytest.raises(FnpackError, match="pipe is neither a file nor a folder"):
        model_recipes(spec.models)


def test_the_bases_python_is_shown_the_packages(cache: LayerCache) -> None:
    files = layer_files(path_file_recipe("/usr/local/lib/python3.11/site-packages").make(cache))
    ((path, line),) = files.items()
    assert path == "usr/local/lib/python3.11/site-packages/fnpack-packages.pth"
    assert line == b"import site; site.addsitedir('/home/site/wwwroot/.python_packages/lib/site-packages')\n"
