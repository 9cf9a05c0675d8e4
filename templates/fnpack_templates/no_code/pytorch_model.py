"""Scores arrays with a PyTorch model, TorchScript or exported, on the CPU.

The request is `{"data": [[1.0, 2.0], ...]}` for a model with one input, and `{"inputs": {"name": [...], ...}}`, by the
names of its arguments, for one with several. The answer is the output as lists; a model that gives several tensors is
answered with a list or object of them.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from azureml.contrib.services.aml_response import AMLResponse
from inference_schema.parameter_types.numpy_parameter_type import NumpyParameterType
from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType
from inference_schema.schema_decorators import input_schema

# The file, below the folder that AZUREML_MODEL_DIR names; whether torch.export made it, or TorchScript.
MODEL = "model.pt"
EXPORTED = False
# Each input's type and shape, where the file says them; None where any size will do.
INPUTS: dict[str, tuple[str, tuple[int | None, ...]]] = {}
# The type of inputs whose own is not known. Numbers of words need "int64".
DTYPE = "float32"


def sample(name: str) -> Any:
    """One item of an input, to show in the API document."""
    kind, shape = INPUTS[name]
    return NumpyParameterType(np.zeros([size or 1 for size in shape], kind))


PARAMETER, SAMPLE = "data", StandardPythonParameterType([[0.0]])
if len(INPUTS) == 1:
    SAMPLE = sample(*INPUTS)
elif INPUTS:
    PARAMETER, SAMPLE = "inputs", StandardPythonParameterType({name: sample(name) for name in INPUTS})

model: Any = None


def init() -> None:
    """Load the model."""
    global model
    path = Path(os.environ["AZUREML_MODEL_DIR"]) / MODEL
    if EXPORTED:
        model = torch.export.load(path).module()
    else:
        model = torch.jit.load(path, map_location="cpu").eval()


@input_schema(PARAMETER, SAMPLE, convert_to_provided_type=False)
def run(data: object = None, inputs: object = None) -> object:
    """Score the arrays; what is wrong with them is answered with 400."""
    try:
        positional, named = arguments(data, inputs)
        with torch.inference_mode():
            return plain(model(*positional, **named))
    except (
        TypeError,
        ValueError,
        RuntimeError,
        AssertionError,
    ) as error:  # a shape that does not fit is torch's to say
        return AMLResponse({"message": str(error)}, 400, json_str=True)


def arguments(data: object, inputs: object) -> tuple[list[Any], dict[str, Any]]:
    """The tensors: one for `data`, or by name. Raises ValueError or TypeError."""
    if inputs in (None, "") and data not in (None, ""):  # "" is how some clients leave a part out
        if len(INPUTS) > 1:
            raise ValueError(f"the model takes {', '.join(map(repr, INPUTS))}: give `inputs` with each")
        return [tensor(next(iter(INPUTS), "data"), data)], {}
    if not isinstance(inputs, dict):
        raise ValueError(f"the request lacks `{PARAMETER}`")
    missing = [name for name in INPUTS if name not in inputs]
    if missing:
        raise ValueError(f"`inputs` lacks {', '.join(map(repr, missing))}")
    return [], {name: tensor(name, value) for name, value in inputs.items()}


def tensor(name: str, value: object) -> Any:
    """One input as a tensor. Raises ValueError."""
    kind, _ = INPUTS.get(name, (DTYPE, ()))
    try:
        return torch.from_numpy(np.array(value).astype(kind))
    except (TypeError, ValueError) as error:
        raise ValueError(f"input {name!r}: {error}") from error


def plain(result: Any) -> Any:
    """The output as lists."""
    if isinstance(result, dict):
        return {str(name): plain(one) for name, one in result.items()}
    if isinstance(result, list | tuple):
        return [plain(one) for one in result]
    return result.tolist() if isinstance(result, torch.Tensor) else result
