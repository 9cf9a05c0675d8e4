"""Scores arrays with an ONNX model, on the CPU.

The request is `{"data": [[1.0, 2.0], ...]}` for a model with one input, and `{"inputs": {"name": [...], ...}}` for one
with several. The answer is the output as lists, or an object of them by name where there are several.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from azureml.contrib.services.aml_response import AMLResponse
from inference_schema.parameter_types.numpy_parameter_type import NumpyParameterType
from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType
from inference_schema.schema_decorators import input_schema
from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidArgument, RuntimeException

# The file, below the folder that AZUREML_MODEL_DIR names.
MODEL = "model.onnx"
# Each input's type and shape; None where any size will do.
INPUTS: dict[str, tuple[str, tuple[int | None, ...]]] = {"X": ("float32", (None, 1))}


def sample(name: str) -> Any:
    """One item of an input, to show in the API document."""
    kind, shape = INPUTS[name]
    return NumpyParameterType(np.full([size or 1 for size in shape], "a" if kind == "str" else 0, dtype=kind))


PARAMETER, SAMPLE = "inputs", StandardPythonParameterType({name: sample(name) for name in INPUTS})
if len(INPUTS) == 1:
    PARAMETER, SAMPLE = "data", sample(*INPUTS)

session: Any = None


def init() -> None:
    """Load the model."""
    global session
    path = Path(os.environ["AZUREML_MODEL_DIR"]) / MODEL
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


@input_schema(PARAMETER, SAMPLE, convert_to_provided_type=False)
def run(data: object = None, inputs: object = None) -> object:
    """Score the arrays; what is wrong with them is answered with 400."""
    try:
        results = session.run(None, arrays(data, inputs))
    except (
        TypeError,
        ValueError,
        Fail,
        InvalidArgument,
        RuntimeException,
    ) as error:  # a size, or a value not learnt
        return AMLResponse({"message": str(error)}, 400, json_str=True)
    lists = [one.tolist() if isinstance(one, np.ndarray) else one for one in results]
    names = [output.name for output in session.get_outputs()]
    return lists[0] if len(lists) == 1 else dict(zip(names, lists, strict=True))


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
    if made.ndim == 1 and len(shape) == 2 and shape[1] == 1:
        made = made.reshape(-1, 1)  # a column, given as a plain list
    fits = made.ndim == len(shape) and all(
        b is None or a == b for a, b in zip(made.shape, shape, strict=True)
    )
    if shape and not fits:
        wanted = tuple("any" if size is None else size for size in shape)
        raise ValueError(
            f"input {name!r}: expected an array of shape {wanted}, got {made.shape}".replace("'any'", "any")
        )
    return made
