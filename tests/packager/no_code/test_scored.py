"""Models without a script of their own, served by the real host: predictions are the library's own."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trained_models as trained
from host_process import HostProcess, launch
from scoring_apps import HIDE
from trained_models import PEOPLE, ROWS

from fnpack.app.directory import write_app
from fnpack.config.build import complete
from fnpack.config.options import Value
from fnpack.config.project import ProjectSettings, merge

pytestmark = pytest.mark.timeout(300)
REAL = " with the real inference_schema"
Serve = Callable[[str], HostProcess]
MAKERS: dict[str, Callable[[Path], Path]] = {
    "pickle": trained.pickled,
    "joblib": lambda folder: trained.joblib_file(folder, trained.of_people()),
    "texts": lambda folder: trained.pickled(folder, trained.of_texts()),
    "skops": trained.skops_file,
    "onnx": trained.onnx_file,
    "onnx of several inputs": lambda folder: trained.onnx_file(folder, trained.of_people()),
    "xgboost": lambda folder: trained.xgboost_file(folder, names=["a", "b", "c", "d"]),
    "lightgbm": trained.lightgbm_file,
    "mlflow": trained.mlflow_folder,
}


def app_of(model: Path, folder: Path, *, hide: bool = True) -> Path:
    """The app directory of a model alone, as `fnpack build --model MODEL --app-only` writes it.

    The real inference_schema is hidden, as images have none.
    """
    values: dict[str, Value | None] = {"model": (str(model),), "auth_level": "anonymous"}
    spec = complete(merge(ProjectSettings(), {}, values, cwd=folder)).app
    app = write_app(spec, folder / "app", lock_text="").path
    if hide:
        script = app / "score.py"
        first = "from __future__ import annotations\n"
        script.write_text(script.read_text().replace(first, first + HIDE.format(names=("inference_schema",))))
    return app


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """A running host for a model of MAKERS, the same one for all tests of the module."""
    running: dict[str, HostProcess] = {}

    def start(name: str) -> HostProcess:
        if name not in running:
            folder = tmp_path_factory.mktemp("served")
            app = app_of(MAKERS[name.removesuffix(REAL)](folder), folder, hide=not name.endswith(REAL))
            running[name] = launch(app, folder / "host.log")
            running[name].wait_ready(200)
        return running[name]

    yield start
    for host in running.values():
        host.process.kill()
        host.process.wait()


def test_pickle_predicts_as_scikit_learn_does(served: Serve) -> None:
    host, model = served("pickle"), trained.classifier()
    assert host.score({"data": ROWS}) == (200, model.predict(ROWS).tolist())
    status, found = host.score({"data": ROWS, "method": "predict_proba"})
    assert status == 200
    np.testing.assert_allclose(found, model.predict_proba(ROWS))


def test_skops_file_predicts_as_scikit_learn_does(served: Serve) -> None:
    assert served("skops").score({"data": ROWS}) == (200, trained.classifier().predict(ROWS).tolist())


@pytest.mark.parametrize(
    "data",
    [PEOPLE, [list(row.values()) for row in PEOPLE], [{"city": "Ghent", "more": 1, "age": 31.0}, PEOPLE[1]]],
)
def test_rows_may_name_their_columns(served: Serve, data: object) -> None:
    import pandas as pd

    status, found = served("joblib").score({"data": data})
    assert status == 200
    np.testing.assert_allclose(found, trained.of_people().predict(pd.DataFrame(PEOPLE)))


def test_rows_may_be_texts(served: Serve) -> None:
    assert served("texts").score({"data": ["a good one", "a bad one"]}) == (200, ["up", "down"])


def test_onnx_gives_every_output_by_name(served: Serve) -> None:
    status, found = served("onnx").score({"data": ROWS})
    model: Any = trained.classifier()
    assert status == 200
    assert found["label"] == model.predict(ROWS).tolist()
    np.testing.assert_allclose(found["probabilities"], model.predict_proba(ROWS), rtol=1e-4)


def test_onnx_of_several_inputs_takes_them_by_name(served: Serve) -> None:
    import pandas as pd

    inputs = {name: [row[name] for row in PEOPLE] for name in ("age", "city")}
    status, found = served("onnx of several inputs").score({"inputs": inputs})
    assert status == 200
    expected = trained.of_people().predict(pd.DataFrame(PEOPLE))
    np.testing.assert_allclose(np.array(found).ravel(), expected, rtol=1e-4)


def test_xgboost_predicts_as_its_booster_does(served: Serve, tmp_path: Path) -> None:
    import xgboost

    booster = xgboost.Booster(model_file=trained.xgboost_file(tmp_path))
    expected = booster.predict(xgboost.DMatrix(np.array(ROWS))).tolist()
    assert served("xgboost").score({"data": ROWS}) == (200, pytest.approx(expected))
    named = [dict(zip("abcd", row, strict=True)) for row in ROWS]
    assert served("xgboost").score({"data": named}) == (200, pytest.approx(expected))
    assert served("xgboost").score({"data": [[None, 0.2, 0.3, 0.4]]})[0] == 200


def test_lightgbm_predicts_as_its_booster_does(served: Serve, tmp_path: Path) -> None:
    import lightgbm

    expected = lightgbm.Booster(model_file=str(trained.lightgbm_file(tmp_path))).predict(np.array(ROWS))
    assert served("lightgbm").score({"data": ROWS}) == (200, pytest.approx(np.asarray(expected).tolist()))


@pytest.mark.parametrize(
    "body",
    [
        {"dataframe_records": PEOPLE},
        {"dataframe_split": {"columns": ["city", "age"], "data": [["Ghent", 31], ["Oslo", 52]]}},
        {"data": [[31, "Ghent"], [52, "Oslo"]]},
        {"instances": PEOPLE},
        {"inputs": {"age": [31, 52], "city": ["Ghent", "Oslo"]}},
    ],
    ids=lambda body: next(iter(body)),
)
def test_mlflow_model_takes_every_form_of_a_request(served: Serve, body: object) -> None:
    import pandas as pd

    status, found = served("mlflow").score(body)
    assert status == 200, found
    np.testing.assert_allclose(found, trained.of_people().predict(pd.DataFrame(PEOPLE)))


@pytest.mark.parametrize(
    ("name", "body", "message"),
    [
        ("pickle", {"data": [[1, 2, 3]]}, "row 0 of `data` has 3 values, but the model takes 4"),
        ("pickle", {"data": [ROWS[0], 7]}, "row 1 of `data` must be a list of values"),
        ("pickle", {"data": []}, "`data` must be a list with at least one row"),
        ("pickle", {"data": [["a", 1, 2, 3]]}, "could not convert string to float: 'a'"),
        ("pickle", {"data": [[None, 1, 2, 3]]}, "contains NaN"),
        (
            "pickle",
            {"data": ROWS, "method": "__class__"},
            "the model has no method '__class__'; it has predict, ",
        ),
        ("pickle", {}, "the input lacks `data`"),
        ("joblib", {"data": [{"age": 1}]}, "row 0 of `data` lacks 'city'"),
        ("joblib", {"data": [[1.0, "Rome"]]}, "unknown categories"),
        ("texts", {"data": [["a text"]]}, "row 0 of `data` must be a text"),
        ("onnx", {"data": [[1, 2]]}, "input 'X': expected an array of shape (any, 4), got (1, 2)"),
        ("onnx", {"data": [[1, 2], [3]]}, "input 'X': "),
        ("onnx", {"data": [["a", 1, 2, 3]]}, "input 'X': could not convert string to float"),
        ("onnx", {"input": []}, "the request lacks `data`, with 'X'"),
        ("onnx of several inputs", {"inputs": {"age": [1]}}, "`inputs` lacks 'city'"),
        ("xgboost", {"data": [[1, 2, 3, 4, 5]]}, "row 0 of `data` has 5 values, but the model takes 4"),
        ("xgboost", {"data": [{"a": 1, "b": 2}]}, "row 0 of `data` lacks 'c', 'd'"),
        ("lightgbm", {"data": [["x", 1, 2, 3]]}, "could not convert string to float"),
        ("mlflow", {"dataframe_records": [{"age": 1.0}]}, "city"),
        ("mlflow", {"instances": PEOPLE, "data": []}, "and has instances, data"),
        ("mlflow", {"nothing": 1}, "and has none"),
    ],
)
def test_what_is_wrong_with_a_request_is_answered_with_400(
    served: Serve, name: str, body: object, message: str
) -> None:
    status, found = served(name).score(body)
    assert (status, message in found["message"]) == (400, True), found


@pytest.mark.parametrize("name", [*MAKERS, f"pickle{REAL}", f"onnx{REAL}"])
def test_example_of_the_api_document_is_answered(served: Serve, name: str) -> None:
    host = served(name)
    for version in ("2", "3", "3.1"):
        status, body, _ = host.call(f"/swagger.json?version={version}", None)
        if status == 404 and version == "2":
            continue  # rows of numbers and texts have no form there
        assert status == 200, body
    schema = json.loads(body)["components"]["schemas"]["ServiceInput"]
    status, found, _ = host.call("/score", json.dumps(schema["example"]).encode())
    # An example cannot know the values that a model has learnt.
    assert status == 200 or (status == 400 and "city" in str(schema["example"])), (schema["example"], found)


def test_api_document_shows_the_width_of_a_row(served: Serve) -> None:
    _, body, _ = served("pickle").call("/swagger.json?version=3", None)
    schema = json.loads(body)["components"]["schemas"]["ServiceInput"]
    assert schema["properties"]["data"]["items"]["minItems"] == 4
    assert schema["example"] == {"data": [[0.0] * 4], "method": "predict"}
    _, body, _ = served("mlflow").call("/swagger.json?version=3", None)
    schema = json.loads(body)["components"]["schemas"]["ServiceInput"]
    assert schema["example"] == {"dataframe_records": [{"age": 0.0, "city": "a text"}]}
    assert {"inputs", "instances", "dataframe_split"} <= set(schema["properties"])
