"""The built-in scripts: what is written into them, and those whose library the tests do not have, on a stand-in."""

from __future__ import annotations

import ast
import sys
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from fnpack.app.entry_script import check_entry_script
from fnpack.no_code.found import Found
from fnpack.no_code.script import kept, script_for
from fnpack_host.scoring import sdk_v1

TEMPLATES = sorted((Path(str(files("fnpack_templates"))) / "no_code").glob("*.py"))


def made(script: str, facts: Mapping[str, object], inner: str = "net") -> str:
    return script_for(Found("Any", "1.0", script, (), facts, "about it"), inner)


def loaded(text: str, monkeypatch: pytest.MonkeyPatch, folder: Path, **libraries: object) -> dict[str, Any]:
    """The script's names, after `init()`."""
    sdk_v1.install()
    for name, library in libraries.items():
        monkeypatch.setitem(sys.modules, name, library)
    monkeypatch.setenv("AZUREML_MODEL_DIR", str(folder))
    names: dict[str, Any] = {"__name__": "score"}
    module = ModuleType("score")
    module.__dict__.update(names)
    exec(compile(text, "score.py", "exec"), module.__dict__)
    module.__dict__["init"]()
    return module.__dict__


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.stem)
def test_script_is_an_entry_script_for_every_python(template: Path, tmp_path: Path) -> None:
    path = tmp_path / "score.py"
    path.write_text(made(template.stem, {}))
    check_entry_script(path)
    ast.parse(path.read_text(), feature_version=(3, 10))
    assert template.read_text().isascii()


def test_names_of_a_model_cannot_become_code(tmp_path: Path) -> None:
    name = 'a"\n\u2028import os\n\x0c#'
    facts = {"COLUMNS": (name,) * 40, "FEATURES": 40}
    text = script_for(Found("Any\nimport os", "1\n2", "scikit_learn", (), facts, name), f"{name}.pkl")
    tree = ast.parse(text)
    values = {node.target.id: node.value for node in ast.walk(tree) if isinstance(node, ast.AnnAssign)}  # type: ignore[union-attr]
    assert ast.literal_eval(values["COLUMNS"]) == (name,) * 40  # type: ignore[arg-type]
    imported = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    assert imported.count("os") == 1
    assert max(map(len, text.split("\n"))) < 400


def test_same_script_is_the_same_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FNPACK_CACHE", str(tmp_path))
    first, second = kept("a = 1\n"), kept("a = 1\n")
    assert first == second
    assert (first.name, first.read_text()) == ("score.py", "a = 1\n")
    first.write_text("changed")
    assert kept("a = 1\n").read_text() == "a = 1\n"


class Tensor:
    """As much of a tensor as the scripts need."""

    def __init__(self, array: Any) -> None:
        self.array = array

    def numpy(self) -> Any:
        return self.array

    def tolist(self) -> Any:
        return self.array.tolist()


def message(answer: Any) -> str:
    assert answer.status_code == 400
    return str(answer.get_data(as_text=True)) if hasattr(answer, "get_data") else str(answer.response)


def torch_of(call: Any) -> SimpleNamespace:
    """A module `torch` whose models call `call`."""
    from contextlib import nullcontext

    exported = SimpleNamespace(load=lambda path: SimpleNamespace(module=lambda: call))
    script = SimpleNamespace(load=lambda path, map_location: SimpleNamespace(eval=lambda: call))
    return SimpleNamespace(
        jit=script, export=exported, inference_mode=nullcontext, from_numpy=Tensor, Tensor=Tensor
    )


def test_torchscript_gets_one_tensor_of_floats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def call(x: Tensor) -> Tensor:
        if x.array.shape[1:] != (2,):
            raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")
        assert x.array.dtype == np.float32
        return Tensor(x.array.sum(axis=1))

    script = loaded(made("pytorch_model", {"EXPORTED": False}), monkeypatch, tmp_path, torch=torch_of(call))
    assert script["run"](data=[[1, 2], [3, 4]]) == [3.0, 7.0]
    assert "cannot be multiplied" in message(script["run"](data=[[1]]))
    assert "lacks `data`" in message(script["run"]())


def test_exported_program_gets_several_tensors_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def call(a: Tensor, b: Tensor) -> dict[str, object]:
        assert (a.array.dtype, b.array.dtype) == (np.float32, np.int64)
        return {"sum": Tensor(a.array + b.array), "both": (a, b)}

    facts = {"EXPORTED": True, "INPUTS": {"a": ("float32", (None,)), "b": ("int64", (None,))}}
    script = loaded(made("pytorch_model", facts), monkeypatch, tmp_path, torch=torch_of(call))
    found = script["run"](inputs={"a": [1.5], "b": [2]})
    assert found == {"sum": [3.5], "both": [[1.5], [2]]}
    assert "`inputs` lacks 'b'" in message(script["run"](inputs={"a": [1]}))
    assert "give `inputs` with each" in message(script["run"](data=[1]))


def tensorflow_of(signature: Any) -> SimpleNamespace:
    """A module `tensorflow` whose model has one signature."""
    model = SimpleNamespace(signatures={"serving_default": signature})

    class InvalidArgumentError(Exception):
        """A size that does not fit."""

    return SimpleNamespace(
        saved_model=SimpleNamespace(load=lambda path: model),
        constant=lambda array: array,
        errors=SimpleNamespace(InvalidArgumentError=InvalidArgumentError),
    )


def test_saved_model_takes_data_instances_and_inputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    facts = {"INPUTS": {"x": ("float32", (None, 2))}}
    library = tensorflow_of(lambda x: {"y": Tensor(x.sum(axis=1))})
    script = loaded(made("tensorflow_model", facts), monkeypatch, tmp_path, tensorflow=library)
    for body in ({"data": [[1, 2]]}, {"instances": [[1, 2]]}, {"inputs": {"x": [[1, 2]]}}):
        assert script["run"](**body) == [3.0]
    assert "expected an array of shape (any, 2), got (1, 3)" in message(script["run"](data=[[1, 2, 3]]))


def test_saved_model_of_texts_gives_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    facts = {"INPUTS": {"word": ("str", (None,)), "count": ("int64", (None,))}}

    def call(word: Any, count: Any) -> dict[str, Tensor]:
        return {"text": Tensor(np.array([one.encode() for one in word], object)), "count": Tensor(count + 1)}

    script = loaded(made("tensorflow_model", facts), monkeypatch, tmp_path, tensorflow=tensorflow_of(call))
    assert script["run"](inputs={"word": ["a"], "count": [1]}) == {"text": ["a"], "count": [2]}
    assert "values that are no int64" in message(script["run"](inputs={"word": ["a"], "count": [1.5]}))
