"""Scores rows with an estimator that has scikit-learn's interface.

The request is `{"data": [[1.0, 2.0], ...]}`, or `{"data": [{"age": 1.0, ...}, ...]}` where the columns have names, or
`{"data": ["a text", ...]}` for a model of texts. With `"method"` beside it another method than `predict` is called.
The answer is a list with one prediction for each row.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from azureml.contrib.services.aml_response import AMLResponse
from inference_schema.parameter_types.numpy_parameter_type import NumpyParameterType
from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType
from inference_schema.schema_decorators import input_schema, output_schema

# The file, below the folder that AZUREML_MODEL_DIR names.
MODEL = "model.pkl"
# Values in a row; None where the model's file does not say.
FEATURES: int | None = None
# Names of the columns, where the model was trained with a data frame.
COLUMNS: tuple[str, ...] = ()
# Whether a row is a text.
TEXT = False
# Whether the file is one of skops, and the classes in it that skops does not trust by itself.
SKOPS = False
TRUSTED: list[str] = []
METHODS = ("predict", "predict_proba", "predict_log_proba", "decision_function", "score_samples", "transform")

SAMPLE: Any
if TEXT:
    SAMPLE = StandardPythonParameterType(["a text"])
elif COLUMNS:
    SAMPLE = StandardPythonParameterType([dict.fromkeys(COLUMNS, 0.0)])
else:
    SAMPLE = NumpyParameterType(np.zeros((1, FEATURES or 1)), enforce_shape=FEATURES is not None)

model: Any = None


def init() -> None:
    """Load the model. A pickle runs code when it is loaded: serve only models that you trust."""
    global model
    path = Path(os.environ["AZUREML_MODEL_DIR"]) / MODEL
    if SKOPS:
        from skops.io import load

        model = load(path, trusted=TRUSTED)
    else:
        import joblib

        model = joblib.load(path)


@input_schema("data", SAMPLE, convert_to_provided_type=False)
@input_schema("method", StandardPythonParameterType("predict"), convert_to_provided_type=False)
@output_schema(StandardPythonParameterType([]))
def run(data: object, method: object = "predict") -> object:
    """Score the rows; what is wrong with them is answered with 400."""
    try:
        if method not in METHODS or not hasattr(model, str(method)):
            has = ", ".join(name for name in METHODS if hasattr(model, name))
            raise ValueError(f"the model has no method {method!r}; it has {has}")
        return plain(getattr(model, str(method))(table(data)))
    except (
        TypeError,
        ValueError,
    ) as error:  # scikit-learn's too: a value that it has not learnt, an empty cell
        return AMLResponse({"message": str(error)}, 400, json_str=True)


def table(data: object) -> Any:
    """The rows as the model takes them: texts, a data frame, or an array. Raises ValueError."""
    if not isinstance(data, list) or not data:
        raise ValueError("`data` must be a list with at least one row")
    if TEXT:
        for number, row in enumerate(data):
            if not isinstance(row, str):
                raise ValueError(f"row {number} of `data` must be a text")
        return data
    rows = [values(row, number) for number, row in enumerate(data)]
    if COLUMNS:
        import pandas as pd

        return pd.DataFrame(rows, columns=list(COLUMNS))
    try:
        return np.array(rows, dtype=float)
    except (TypeError, ValueError):
        return np.array(rows, dtype=object)  # texts among them: a model with an encoder takes those


def values(row: object, number: int) -> list[object]:
    """The values of one row, in the order of the columns. Raises ValueError."""
    if isinstance(row, dict) and COLUMNS:
        missing = [name for name in COLUMNS if name not in row]
        if missing:
            raise ValueError(f"row {number} of `data` lacks {', '.join(map(repr, missing))}")
        return [row[name] for name in COLUMNS]
    if not isinstance(row, list):
        form = "a list of values or an object with a value for each column" if COLUMNS else "a list of values"
        raise ValueError(f"row {number} of `data` must be {form}")
    if FEATURES is not None and len(row) != FEATURES:
        raise ValueError(f"row {number} of `data` has {len(row)} values, but the model takes {FEATURES}")
    return row


def plain(result: Any) -> Any:
    """The predictions as lists; of a model with several outputs, a list for each."""
    if isinstance(result, list):
        return [plain(one) for one in result]
    if hasattr(result, "toarray"):
        result = result.toarray()
    return np.asarray(result).tolist()
