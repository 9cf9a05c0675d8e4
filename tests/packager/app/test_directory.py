from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from fnpack.app.directory import FunctionApp, write_app
from fnpack.app.staging import link_or_copy_file
from fnpack.spec import (
    AppSpec,
    BlobTrigger,
    Environment,
    HttpTrigger,
    ModelSource,
    ServiceBusQueueTrigger,
    ServiceBusTopicTrigger,
    Trigger,
)
from fnpack_triggers.errors import FnpackError

SCRIPT = "def init():\n    pass\n\n\ndef run(data):\n    return data\n"
BLOB = BlobTrigger("input/{blobname}.json", "output/{blobname}_out.json")
EVERY = (
    HttpTrigger(),
    BLOB,
    ServiceBusQueueTrigger("in", "out"),
    ServiceBusTopicTrigger("t", "s", output_queue="q"),
)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    (root / "src" / "pkg").mkdir(parents=True)
    (root / "src" / "score.py").write_text(SCRIPT)
    (root / "src" / "pkg" / "__init__.py").write_text("")
    (root / "weights").mkdir()
    (root / "weights" / "model.bin").write_bytes(b"weights")
    (root / "model.pkl").write_bytes(b"model")
    return root


def spec(
    project: Path,
    triggers: Sequence[Trigger] = (HttpTrigger(),),
    *,
    models: Sequence[ModelSource] = (),
    source: bool = False,
    environment: Environment | None = None,
) -> AppSpec:
    directory = project / "src" if source else None
    return AppSpec(
        project / "src" / "score.py", directory, tuple(models), tuple(triggers), environment or Environment()
    )


def tree(root: Path) -> dict[str, bytes]:
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


def digest(root: Path) -> str:
    return hashlib.sha256(repr(sorted(tree(root).items())).encode()).hexdigest()


def adapter(files: dict[str, bytes]) -> dict[str, bytes]:
    return {name: content for name, content in files.items() if not name.startswith("fnpack_scoring/")}


def test_tiny_app_has_exactly_these_files(project: Path, tmp_path: Path) -> None:
    app = write_app(spec(project, [HttpTrigger(), BLOB]), tmp_path / "app", lock_text="six==1.16.0\n")
    files = tree(tmp_path / "app")
    assert sorted(adapter(files)) == [
        "host.json",
        "requirements.txt",
        "score-blob/__init__.py",
        "score-blob/function.json",
        "score.py",
        "score/__init__.py",
        "score/function.json",
        "scoring.json",
    ]
    assert {name for name in files if name.startswith("fnpack_scoring/")} >= {"fnpack_scoring/__init__.py"}
    assert files["requirements.txt"] == b"six==1.16.0\n"
    assert files["score.py"].decode() == SCRIPT
    assert app.settings == ("TriggerConnectionString",)
    assert [(f.name, f.trigger, f.where) for f in app.functions] == [
        ("score", "http", "GET, POST /api/score (function key)"),
        ("score-blob", "blob", "input/{blobname}.json -> output/{blobname}_out.json"),
    ]


def test_scoring_json_says_where_everything_is(project: Path, tmp_path: Path) -> None:
    models = [ModelSource("a", project / "model.pkl"), ModelSource("b", project / "weights", "2")]
    environment = Environment(variables={"Z": "1", "A": "2"})
    write_app(
        spec(project, models=models, source=True, environment=environment), tmp_path / "app", lock_text=""
    )
    assert json.loads((tmp_path / "app" / "scoring.json").read_text()) == {
        "schema_version": 1,
        "entry_script": "src/score.py",
        "source_directory": "src",
        "models": [
            {"name": "a", "version": "1", "path": "azureml-models/a/1"},
            {"name": "b", "version": "2", "path": "azureml-models/b/2"},
        ],
        "environment": {"A": "2", "Z": "1"},
    }
    files = tree(tmp_path / "app")
    assert files["azureml-models/a/1/model.pkl"] == b"model"
    assert files["azureml-models/b/2/weights/model.bin"] == b"weights"
    assert "src/pkg/__init__.py" in files


def test_extension_bundle_is_there_only_for_triggers_that_need_it(project: Path, tmp_path: Path) -> None:
    write_app(spec(project), tmp_path / "http", lock_text="")
    write_app(spec(project, [BLOB]), tmp_path / "blob", lock_text="")
    assert "extensionBundle" not in json.loads((tmp_path / "http" / "host.json").read_text())
    assert (
        json.loads((tmp_path / "blob" / "host.json").read_text())["extensionBundle"]["version"]
        == "[4.*, 5.0.0)"
    )


def test_same_input_gives_same_bytes(project: Path, tmp_path: Path) -> None:
    models = [ModelSource("b", project / "weights")]
    for name in ("one", "two"):
        write_app(spec(project, EVERY, models=models, source=True), tmp_path / name, lock_text="x\n")
    assert digest(tmp_path / "one") == digest(tmp_path / "two")


def test_functions_keep_microsofts_rules(project: Path, tmp_path: Path) -> None:
    app = write_app(spec(project, EVERY), tmp_path / "app", lock_text="")
    for function in app.functions:
        assert re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]{0,127}", function.name)
        definition = json.loads((app.path / function.name / "function.json").read_text())
        assert definition["generatedBy"] == "fnpack-scoring-1"
        assert (app.path / function.name / definition["scriptFile"]).is_file()
        names = [binding["name"] for binding in definition["bindings"]]
        assert len({name.lower() for name in names}) == len(names)
        assert all(name == "$return" or re.fullmatch(r"[A-Za-z][A-Za-z0-9]{0,127}", name) for name in names)
        assert sum(binding["type"].endswith("Trigger") for binding in definition["bindings"]) == 1


def test_any_user_of_the_image_can_read_every_file(project: Path, tmp_path: Path) -> None:
    (project / "model.pkl").chmod(0o600)
    old = os.umask(0o077)
    try:
        write_app(
            spec(project, models=[ModelSource("m", project / "model.pkl")], source=True),
            tmp_path / "app",
            lock_text="",
        )
    finally:
        os.umask(old)
    for path in [tmp_path / "app", *(tmp_path / "app").rglob("*")]:
        assert path.stat().st_mode & 0o777 in ({0o755} if path.is_dir() else {0o644, 0o755}), path
    assert (project / "model.pkl").stat().st_mode & 0o777 == 0o600


def test_large_models_are_linked_and_scripts_are_copied(project: Path, tmp_path: Path) -> None:
    write_app(
        spec(project, models=[ModelSource("m", project / "model.pkl")]),
        tmp_path / "app",
        lock_text="",
        place=link_or_copy_file,
    )
    assert (tmp_path / "app/azureml-models/m/1/model.pkl").samefile(project / "model.pkl")
    assert not (tmp_path / "app/score.py").samefile(project / "src" / "score.py")


def test_earlier_app_is_replaced_as_a_whole(project: Path, tmp_path: Path) -> None:
    write_app(spec(project, EVERY), tmp_path / "app", lock_text="")
    write_app(spec(project), tmp_path / "app", lock_text="")
    assert not (tmp_path / "app" / "score-blob").exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["app", "project"]


def test_target_inside_the_source_directory_is_not_packed_again(project: Path) -> None:
    for _ in range(2):
        write_app(spec(project, source=True), project / "src" / "out", lock_text="")
    assert not (project / "src" / "out" / "src" / "out").exists()


def test_folder_of_somebody_else_is_refused(project: Path, tmp_path: Path) -> None:
    target = tmp_path / "app"
    target.mkdir()
    (target / "thesis.txt").write_text("years of work")
    code = refused(spec(project), target)
    assert code == "FN337"
    assert tree(target) == {"thesis.txt": b"years of work"}


def refused(what: AppSpec, target: Path) -> str:
    with pytest.raises(FnpackError) as caught:
        write_app(what, target, lock_text="")
    assert caught.value.hint
    return caught.value.code


def bad_specs(project: Path) -> dict[str, tuple[AppSpec, str]]:
    model = project / "model.pkl"
    (project / "score-blob").mkdir()
    (project / "score-blob" / "score.py").write_text(SCRIPT)
    taken = AppSpec(project / "score-blob/score.py", project / "score-blob", (), (BLOB,), Environment())
    (project / "fn").mkdir()
    (project / "fn" / "score.py").write_text(SCRIPT)
    (project / "fn" / "function.json").write_text("{}")
    function = AppSpec(project / "fn/score.py", project / "fn", (), (BLOB,), Environment())
    outside = AppSpec(project / "fn/score.py", project / "src", (), (BLOB,), Environment())
    return {
        "script missing": (AppSpec(project / "gone.py", None, (), (BLOB,), Environment()), "FN320"),
        "script outside": (outside, "FN320"),
        "no trigger": (spec(project, []), "FN334"),
        "one kind twice": (spec(project, [BLOB, BLOB]), "FN334"),
        "auth level": (spec(project, [HttpTrigger("root")]), "FN334"),
        "no output": (spec(project, [ServiceBusQueueTrigger("in")]), "FN334"),
        "two outputs": (spec(project, [ServiceBusQueueTrigger("in", "q", "t")]), "FN334"),
        "newline": (spec(project, [BlobTrigger("in/{a}\n", "out/{a}")]), "FN334"),
        "connection string": (spec(project, [BlobTrigger("in/{a}", "out/{a}", "AccountKey=x;")]), "FN334"),
        "name taken": (taken, "FN335"),
        "source is a function": (function, "FN335"),
        "variable": (spec(project, environment=Environment(variables={"A B": "1"})), "FN335"),
        "model missing": (spec(project, models=[ModelSource("m", project / "gone")]), "FN338"),
        "model name": (spec(project, models=[ModelSource("../m", model)]), "FN338"),
        "model version": (spec(project, models=[ModelSource("m", model, "new")]), "FN338"),
        "model twice": (spec(project, models=[ModelSource("m", model), ModelSource("M", model)]), "FN338"),
    }


CASES = (
    "script missing", "script outside", "no trigger", "one kind twice", "auth level", "no output", "two outputs",
    "newline", "connection string", "name taken", "source is a function", "variable", "model missing", "model name",
    "model version", "model twice",
)  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_bad_input_leaves_nothing_behind(project: Path, tmp_path: Path, case: str) -> None:
    what, code = bad_specs(project)[case]
    parent = tmp_path / "new"
    assert refused(what, parent / "app") == code
    assert not parent.exists()


def test_every_bad_case_is_tried(project: Path) -> None:
    assert set(bad_specs(project)) == set(CASES)


def test_failure_half_way_leaves_the_old_app(project: Path, tmp_path: Path) -> None:
    target = tmp_path / "app"
    write_app(spec(project, source=True), target, lock_text="")
    before = digest(target)
    (project / "src" / "out").symlink_to("/etc/hostname")
    assert refused(spec(project, source=True), target) == "FN336"
    assert digest(target) == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["app", "project"]


def test_unwritable_place_is_an_expected_failure(project: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert refused(spec(project), tmp_path / "file" / "app") == "FN339"


def test_entry_script_hidden_by_an_ignore_file_is_refused(project: Path, tmp_path: Path) -> None:
    (project / "src" / ".funcignore").write_text("*.py\n")
    assert refused(spec(project, source=True), tmp_path / "app") == "FN320"
    assert not (tmp_path / "app").exists()


def test_summary_holds_no_file_contents(project: Path, tmp_path: Path) -> None:
    app: FunctionApp = write_app(spec(project), tmp_path / "app", lock_text="")
    assert "azure.functions" not in repr(app)


def test_a_model_in_the_app_is_a_copy_that_can_be_edited(project: Path, tmp_path: Path) -> None:
    model = project / "model.pkl"
    before = model.read_bytes()
    app = write_app(spec(project, models=[ModelSource("m", model)]), tmp_path / "app", lock_text="")
    with (app.path / "azureml-models" / "m" / "1" / "model.pkl").open("ab") as file:
        file.write(b"edited")
    assert model.read_bytes() == before
