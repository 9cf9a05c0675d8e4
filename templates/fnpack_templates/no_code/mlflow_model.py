"""Scores data with an MLflow model, through its flavour python_function.

The request is one of MLflow's: `{"dataframe_split": {"columns": [...], "data": [[...]]}}`,
`{"dataframe_records": [{...}]}`, `{"instances": [...]}`, `{"inputs": ...}`; or SDK v1's `{"data": [[...]]}`, with the
columns in the order of the signature. `params` are the model's parameters. The answer is a list of predictions.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import numpy as np
import pandas as pd
from azureml.contrib.services.aml_response import AMLResponse
from inference_schema.parameter_types.numpy_parameter_type import NumpyParameterType
from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType
from inference_schema.schema_decorators import input_schema
from mlflow.exceptions import MlflowException
from mlflow.utils.proto_json_utils import dataframe_from_parsed_json, parse_tf_serving_input

# The folder, below the one that AZUREML_MODEL_DIR names.
MODEL = "model"
# The inputs of its signature, as MLflow writes them; empty where it has none.
INPUTS: list[dict[str, Any]] = []
EXAMPLES = {"string": "a text", "boolean": False, "integer": 0, "long": 0, "datetime": "2026-01-31T00:00:00"}
COLUMNS = [column.get("name", str(number)) for number, column in enumerate(INPUTS)]


def sample() -> tuple[str, Any]:
    """The form of a request that suits the signature, and a sample of it, to show in the API document."""
    if any(column.get("type") == "tensor" for column in INPUTS):
        tensors = {column.get("name", "data"): tensor(column["tensor-spec"]) for column in INPUTS}
        return "inputs", tensors if len(tensors) > 1 or "name" in INPUTS[0] else tensors["data"]
    if not INPUTS:
        return "dataframe_split", StandardPythonParameterType({"columns": ["a"], "data": [[0.0]]})
    row = {
        name: EXAMPLES.get(str(column.get("type")), 0.0) for name, column in zip(COLUMNS, INPUTS, strict=True)
    }
    return "dataframe_records", StandardPythonParameterType([row])


def tensor(spec: dict[str, Any]) -> Any:
    """A sample of one tensor."""
    return NumpyParameterType(np.zeros([max(size, 1) for size in spec["shape"]], spec["dtype"]))


PARAMETER, SAMPLE = sample()
if isinstance(SAMPLE, dict):
    SAMPLE = StandardPythonParameterType(SAMPLE)

model: Any = None


def init() -> None:
    """Load the model. It may hold pickles, which run code when they are loaded: serve only models that you trust."""
    global model
    model = mlflow.pyfunc.load_model(str(Path(os.environ["AZUREML_MODEL_DIR"]) / MODEL))


@input_schema(PARAMETER, SAMPLE, convert_to_provided_type=False)
def run(
    dataframe_split: object = None,
    dataframe_records: object = None,
    instances: object = None,
    inputs: object = None,
    data: object = None,
    params: dict[str, Any] | None = None,
) -> object:
    """Score the data; what is wrong with it is answered with 400."""
    forms = {
        "dataframe_split": dataframe_split, "dataframe_records": dataframe_records,
        "instances": instances, "inputs": inputs, "data": data,
    }  # fmt: skip
    given = {name: value for name, value in forms.items() if value not in (None, "")}
    try:
        if len(given) != 1:
            raise ValueError(
                f"the request must have one of {', '.join(forms)}, and has {', '.join(given) or 'none'}"
            )
        (form,) = given
        table = parsed(form, given[form])
    except (KeyError, TypeError, ValueError, MlflowException) as error:
        return refused(error)
    try:
        return plain(model.predict(table, params=params or None))
    except (
        TypeError,
        ValueError,
        MlflowException,
    ) as error:  # a signature that does not fit, a value not learnt
        return refused(error)


def parsed(form: str, value: Any) -> Any:
    """The data as the model takes it."""
    schema = model.metadata.get_input_schema()
    if form in {"instances", "inputs"}:
        return parse_tf_serving_input({form: value}, schema=schema)
    if form == "data":
        form, value = "dataframe_split", {"data": value, **({"columns": COLUMNS} if COLUMNS else {})}
    if form == "dataframe_split" and isinstance(value, dict):
        return dataframe_from_parsed_json(value, pandas_orient="split", schema=schema)
    if form == "dataframe_records" and isinstance(value, list):
        return dataframe_from_parsed_json(value, pandas_orient="records", schema=schema)
    raise ValueError(f"`{form}` must be {'an object' if form == 'dataframe_split' else 'a list of objects'}")


def refused(error: Exception) -> Any:
    """The answer 400."""
    text = error.message if isinstance(error, MlflowException) else str(error)
    return AMLResponse({"message": text}, 400, json_str=True)


def plain(result: Any) -> Any:
    """The predictions as lists; a data frame as records."""
    if isinstance(result, pd.DataFrame):
        return result.to_dict(orient="records")
    if isinstance(result, dict):
        return {name: plain(one) for name, one in result.items()}
    return result.tolist() if hasattr(result, "tolist") else result
