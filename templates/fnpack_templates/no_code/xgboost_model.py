"""Scores rows with an XGBoost model.

The request is `{"data": [[1.0, 2.0], ...]}`, or `{"data": [{"age": 1.0, ...}, ...]}` where the features have names;
null is a missing value. The answer is what `Booster.predict` gives: one value for each row, of several classes a list.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import xgboost
from azureml.contrib.services.aml_response import AMLResponse
from inference_schema.parameter_types.numpy_parameter_type import NumpyParameterType
from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType
from inference_schema.schema_decorators import input_schema, output_schema

# The file, below the folder that AZUREML_MODEL_DIR names.
MODEL = "model.ubj"
# Values in a row; None where the model's file does not say.
FEATURES: int | None = None
# Names of the features, where the model has them.
COLUMNS: tuple[str, ...] = ()

SAMPLE: Any
if COLUMNS:
    SAMPLE = StandardPythonParameterType([dict.fromkeys(COLUMNS, 0.0)])
else:
    SAMPLE = NumpyParameterType(np.zeros((1, FEATURES or 1), np.float32), enforce_shape=FEATURES is not None)

booster: Any = None


def init() -> None:
    """Load the model."""
    global booster
    booster = xgboost.Booster(model_file=str(Path(os.environ["AZUREML_MODEL_DIR"]) / MODEL))


@input_schema("data", SAMPLE, convert_to_provided_type=False)
@output_schema(StandardPythonParameterType([]))
def run(data: object) -> object:
    """Score the rows; what is wrong with them is answered with 400."""
    try:
        rows = table(data)
    except (TypeError, ValueError) as error:
        return AMLResponse({"message": str(error)}, 400, json_str=True)
    matrix = xgboost.DMatrix(rows, feature_names=booster.feature_names, feature_types=booster.feature_types)
    return booster.predict(matrix).tolist()


def table(data: object) -> Any:
    """The rows as an array. Raises ValueError or TypeError."""
    if not isinstance(data, list) or not data:
        raise ValueError("`data` must be a list with at least one row")
    return np.array([values(row, number) for number, row in enumerate(data)], dtype=np.float32)


def values(row: object, number: int) -> list[object]:
    """The values of one row, in the order of the features. Raises ValueError."""
    if isinstance(row, dict) and COLUMNS:
        missing = [name for name in COLUMNS if name not in row]
        if missing:
            raise ValueError(f"row {number} of `data` lacks {', '.join(map(repr, missing))}")
        return [row[name] for name in COLUMNS]
    if not isinstance(row, list):
        raise ValueError(f"row {number} of `data` must be a list of values")
    if FEATURES is not None and len(row) != FEATURES:
        raise ValueError(f"row {number} of `data` has {len(row)} values, but the model takes {FEATURES}")
    return row
