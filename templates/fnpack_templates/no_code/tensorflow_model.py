"""Scores arrays with a TensorFlow SavedModel.

The request is `{"data": [[1.0, 2.0], ...]}` or `{"instances": [...]}` for a model with one input, and
`{"inputs": {"name": [...], ...}}` for one with several. The answer is the output as lists, or an object of them by
name where there are several.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from azureml.contrib.services.aml_response import AMLResponse
from inference_schema.parameter_types.numpy_parameter_type import NumpyParameterType
from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType
from inference_schema.schema_decorators import input_schema

# The folder, below the one that AZUREML_MODEL_DIR names.
MODEL = "model"
# The signature that is called, its inputs' types and shapes; None where any size will do.
SIGNATURE = "serving_default"
INPUTS: dict[str, tuple[str, tuple[int | None, ...]]] = {"x": ("float32", (None, 1))}


def sample(name: str) -> Any:
    """One item of an input, to show in the API document."""
    kind, shape = INPUTS[name]
    return NumpyParameterType(np.full([size or 1 for size in shape], "a" if kind == "str" else 0, dtype=kind))


PARAMETER, SAMPLE = "inputs", StandardPythonParameterType({name: sample(name) for name in INPUTS})
if len(INPUTS) == 1:
    PARAMETER, SAMPLE = "data", sample(*INPUTS)

loaded: Any = None


def init() -> None:
    """Load the model, which has to stay referred to as long as its signature is called."""
    global loaded
    loaded = tf.saved_model.load(str(Path(os.environ["AZUREML_MODEL_DIR"]) / MODEL))


@input_schema(PARAMETER, SAMPLE, convert_to_provided_type=False)
def run(data: object = None, inputs: object = None, instances: object = None) -> object:
    """Score the arrays; what is wrong with them is answered with 400."""
    try:
        given = arrays(instances if data in (None, "") else data, inputs)
        results = loaded.signatures[SIGNATURE](**{name: tf.constant(one) for name, one in given.items()})
    except (TypeError, ValueError, tf.errors.InvalidArgumentError) as error:
        return AMLResponse({"message": str(error)}, 400, json_str=True)
    lists = {name: plain(tensor.numpy()) for name, tensor in results.items()}
    return next(iter(lists.values())) if len(lists) == 1 else lists


def arrays(data: object, inputs: object) -> dict[str, Any]:
    """The inputs as arrays by name. Raises ValueError or TypeError."""
    inputs, data = (
        None if one == "" else one for one in (inputs, data)
    )  # "" is how some clients leave a part out
    if inputs is None and data is not None and len(INPUTS) == 1 and not isinstance(data, dict):
        inputs = dict.fromkeys(INPUTS, data)
    given = data if inputs is None else inputs
    if not isinstance(given, dict):
        raise ValueError(f"the request lacks `{PARAMETER}`, with {', '.join(map(repr, INPUTS))}")
    missing = [name for name in INPUTS if name not in given]
    if missing:
        raise ValueError(f"`inputs` lacks {', '.join(map(repr, missing))}")
    return {name: array(name, given[name]) for name in INPUTS}


def array(name: str, value: object) -> Any:
    """One input as an array of its type and shape. Raises ValueError or TypeError."""
    kind, shape = INPUTS[name]
    try:
        found = np.array(value)
        made = found.astype(kind)
    except (TypeError, ValueError) as error:
        raise ValueError(f"input {name!r}: {error}") from error
    if made.dtype.kind in "iu" and not (made == found).all():
        raise ValueError(f"input {name!r} holds values that are no {kind}")
    fits = made.ndim == len(shape) and all(
        b is None or a == b for a, b in zip(made.shape, shape, strict=True)
    )
    if shape and not fits:
        wanted = tuple("any" if size is None else size for size in shape)
        raise ValueError(
            f"input {name!r}: expected an array of shape {wanted}, got {made.shape}".replace("'any'", "any")
        )
    return made


def plain(result: Any) -> Any:
    """An output as lists; texts are bytes there."""
    if result.dtype.kind in "OS":
        return np.vectorize(lambda one: one.decode("utf-8", "replace"), otypes=[object])(result).tolist()
    return result.tolist()
