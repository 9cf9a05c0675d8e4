from __future__ import annotations

from pathlib import Path

import pytest
from tests.packager.config.completed import build, faults, write_config

from fnpack.config.build import BuildSettings, complete
from fnpack.config.options import Value
from fnpack.config.project import ProjectSettings, merge, read_project
from fnpack.errors import ConfigurationError, ConfigurationSyntaxError
from fnpack.spec import (
    AppSpec,
    Environment,
    HttpTrigger,
    ModelSource,
)


def test_script_alone_becomes_an_http_function(app: Path) -> None:
    spec = AppSpec(app / "score.py", None, (), (HttpTrigger("function"),), Environment())
    assert build(app) == BuildSettings(spec, project=app)


def test_all_problems_of_options_and_files_come_at_once(app: Path) -> None:
    (app / "requirements.txt").write_text("numpy=1\n")
    found = faults(
        app,
        entry_script="scor.py",
        model=("modle.pkl",),
        trigger=("blobb",),
        requirements="requirements.txt",
        host="azure-function",
        platform="arm64",
        python_version="3.1",
        tag="Upper/X",
        inference_config=write_config(app, {"entryscript": "x"}),
        connection="a;b",
    )
    assert [line.partition(": ")[0] for line in found] == [
        "ic.json",
        "--entry-script",
        "--model",
        "--trigger",
        "--connection",
        "requirements.txt:1",
        "--host",
        "--platform",
        "--python-version",
        "--tag",
    ]


def test_fault_of_a_single_file_keeps_its_own_error(app: Path) -> None:
    (app / "ic.json").write_text('{"a": 1,}')
    with pytest.raises(ConfigurationSyntaxError):
        build(app, inference_config="ic.json")


# ---- script and source directory


def test_missing_script_lists_what_is_near(app: Path) -> None:
    assert faults(app, entry_script="scores.py") == [
        "--entry-script: there is no file `scores.py`; did you mean `score.py`?"
    ]
    assert faults(app, entry_script="predict.py") == [
        "--entry-script: there is no file `predict.py`; the folder holds `score.py`"
    ]


def test_missing_option_for_the_script_is_named(app: Path) -> None:
    with pytest.raises(ConfigurationError, match="--entry-script: no entry script is given"):
        complete(merge(ProjectSettings(), {}, {}, cwd=app))


def test_script_is_not_asked_for_when_the_file_that_may_name_it_is_faulty(app: Path) -> None:
    raw = merge(
        ProjectSettings(), {}, {"inference_config": write_config(app, {"entryScrip": "score.py"})}, cwd=app
    )
    with pytest.raises(ConfigurationError) as caught:
        complete(raw)
    assert str(caught.value) == "ic.json: entryScrip: unknown key; did you mean `entryScript`?"


@pytest.mark.parametrize("script", ["main.py", "src/main.py"])
def test_script_is_found_in_the_source_directory(app: Path, script: str) -> None:
    spec = build(app, entry_script=script, source_directory="src").app
    assert (spec.entry_script, spec.source_directory) == (app / "src/main.py", app / "src")


@pytest.mark.parametrize(
    ("flags", "what"),
    [
        ({"source_directory": "src"}, "`score.py` is not inside the source directory `src`"),
        ({"source_directory": "scr"}, "--source-directory: there is no folder `scr`; did you mean `src`?"),
        ({"source_directory": "score.py"}, "`score.py` is not a folder"),
        ({"entry_script": "src"}, "`src` is a folder"),
        ({"entry_script": "model.pkl"}, "`model.pkl` is not a Python file"),
        ({"entry_script": "nowhere/score.py"}, "the folder `nowhere` does not exist"),
    ],
)
def test_impossible_script_or_source_directory_is_refused(
    app: Path, flags: dict[str, Value], what: str
) -> None:
    (found,) = faults(app, **flags)
    assert what.replace("`nowhere`", f"`{app}/nowhere`") in found


def test_paths_of_a_file_are_relative_to_it_and_those_of_flags_to_the_working_directory(app: Path) -> None:
    (app / "fnpack.toml").write_text('entry_script = "score.py"\nmodel = "model.pkl"')
    other = app / "other"
    other.mkdir()
    (other / "mine.pkl").touch()
    spec = complete(merge(read_project(app), {}, {}, cwd=other)).app
    assert (spec.entry_script, spec.models) == (app / "score.py", (ModelSource("model", app / "model.pkl"),))
    spec = complete(merge(read_project(app), {}, {"model": ("mine.pkl",)}, cwd=other)).app
    assert spec.models == (ModelSource("mine", other / "mine.pkl"),)


# ---- models


@pytest.mark.parametrize(
    ("text", "name", "path"),
    [
        ("model.pkl", "model", "model.pkl"),
        ("net", "net", "net"),
        ("mine=model.pkl", "mine", "model.pkl"),
        ("m-1.x_Y=net/", "m-1.x_Y", "net"),
        ("./lr=0.1/m.pkl", "m", "lr=0.1/m.pkl"),
        ("m=lr=0.1/m.pkl", "m", "lr=0.1/m.pkl"),
    ],
)
def test_model_is_a_path_with_or_without_a_name(app: Path, text: str, name: str, path: str) -> None:
    (app / "lr=0.1").mkdir()
    (app / "lr=0.1/m.pkl").touch()
    assert build(app, model=(text,)).app.models == (ModelSource(name, app / path),)


@pytest.mark.parametrize(
    ("models", "what"),
    [
        (("modle.pkl",), "--model: there is no model `modle.pkl`; did you mean `model.pkl`?"),
        (("a=model.pkl", "a=net"), "--model: two models are named `a`; name one of them: `OTHER=PATH`"),
        (("-a=model.pkl",), "--model: `-a` cannot be the name of a model; a model's name has 1 to 255"),
        (("a b=model.pkl",), "`a b` cannot be the name of a model"),
        (("a\nb=model.pkl",), "cannot be the name of a model"),
        (("x" * 256 + "=model.pkl",), "cannot be the name of a model"),
        (("=model.pkl",), "`` cannot be the name of a model"),
        (("a=",), "--model: `a=` has no path"),
        (("my model.pkl",), "give a name, `NAME=my model.pkl`"),
        (("empty",), "the model's folder `empty` is empty"),
    ],
)
def test_impossible_model_is_refused(app: Path, models: tuple[str, ...], what: str) -> None:
    (app / "empty").mkdir()
    (app / "my model.pkl").touch()
    assert what in "\n".join(faults(app, model=models))


# ---- triggers


def test_sbom_is_attached_or_not_or_written_too(app: Path) -> None:
    def sbom(**flags: Value) -> tuple[bool | None, Path | None]:
        found = build(app, **flags)
        return found.attach_sbom, found.sbom_file

    assert sbom() == (None, None)
    assert sbom(sbom="attach") == (True, None)
    assert sbom(sbom="none") == sbom(sbom="none", builder="dockerfile") == (False, None)
    assert sbom(sbom="out/app.json") == (None, app / "out" / "app.json")
    assert sbom(sbom="./attach") == (None, app / "attach")
    assert faults(app, sbom="atach") == [
        "--sbom: `atach` is neither `attach` nor `none`; write `./atach` for a file"
    ]
    assert "the builder `dockerfile` writes no SBOM" in faults(app, sbom="a.json", builder="dockerfile")[0]
    assert sbom(sbom="a.json", builder="docker") == (None, app / "a.json")


def test_identity_is_passed_on_and_off_unless_asked_for(app: Path) -> None:
    assert not build(app).identity
    assert build(app, identity=True).identity


def test_tag_and_push_are_passed_on(app: Path) -> None:
    found = build(app, tag="localhost:5000/team/x:1", push=True)
    assert (found.tag, found.push) == ("localhost:5000/team/x:1", True)
