"""schemathesis calls apps by the API documents that they give: nothing crashes, and answers are as described."""

from __future__ import annotations

import contextlib
from unittest import SkipTest

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    positive_data_acceptance,
    response_schema_conformance,
    status_code_conformance,
)

NUMPY = """
import numpy as np
from inference_schema.schema_decorators import input_schema, output_schema
from inference_schema.parameter_types.numpy_parameter_type import NumpyParameterType
from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType
def init(): np.seterr(all="ignore")
@input_schema("data", NumpyParameterType(np.array([[1.0, 2.0]])))
@input_schema("scale", StandardPythonParameterType(1.5))
@output_schema(NumpyParameterType(np.array([1.0])))
def run(data, scale=1.0):
    return np.nan_to_num(np.reshape(data, (len(data), -1)).sum(axis=1) * scale)
"""
PANDAS = """
import pandas as pd
from inference_schema.schema_decorators import input_schema, output_schema
from inference_schema.parameter_types.pandas_parameter_type import PandasParameterType
from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType
def init(): pass
@input_schema("data", PandasParameterType(pd.DataFrame({"age": [1.5], "name": ["a"]})))
@input_schema("threshold", StandardPythonParameterType(0.5))
@output_schema(StandardPythonParameterType({"rows": 1, "names": ["a"]}))
def run(data, threshold=0.5):
    return {"rows": len(data), "names": [str(name) for name in data.get("name", [])]}
"""
PLAIN = """
from inference_schema.schema_decorators import input_schema, output_schema
from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType
sample = StandardPythonParameterType({"text": "a", "tags": ["b"], "weights": {"x": 0.5}, "keep": True})
def init(): pass
@input_schema("item", sample)
@input_schema("limit", StandardPythonParameterType(3))
@output_schema(StandardPythonParameterType(["a"]))
async def run(item, limit=3):
    return [str(item.get("tags"))] * min(max(limit, 0), 3)
"""
BASIC = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
)
STAND_IN, REAL = ("azureml", "inference_schema"), ("azureml",)
MODEST = settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


APPS = {
    # script, packages that are hidden, version of the document, whether all it describes is accepted
    "numpy": (NUMPY, STAND_IN, "3.1", True),
    "numpy, real library": (NUMPY, REAL, "3", False),  # its document does not tell the sizes of arrays
    "pandas": (PANDAS, STAND_IN, "2", True),
    "plain": (PLAIN, STAND_IN, "3", True),
}


def call(operation, mode, checks):
    """Make some calls of one operation, all fit for it or all not; returns the statuses of the answers."""
    seen: set[int] = set()

    @MODEST
    @given(case=operation.as_strategy(generation_mode=mode))
    def one(case):
        seen.add(case.call_and_validate(checks=checks).status_code)

    with contextlib.suppress(SkipTest):  # nothing can be wrong about `GET /`
        one()
    return seen


@pytest.mark.parametrize("name", APPS)
def test_calls_by_the_document(scoring_host, name):
    script, without, version, is_exact = APPS[name]
    host = scoring_host(script, without=without)
    document = schemathesis.openapi.from_url(f"{host.url}/swagger.json?version={version}")
    operations = {
        operation.label: operation for operation in (one.ok() for one in document.get_all_operations())
    }
    assert {"GET /", "POST /score"} <= set(operations)
    fit = [*BASIC, *([positive_data_acceptance] if is_exact else [])]
    assert call(operations["GET /"], GenerationMode.POSITIVE, fit) == {200}
    assert 200 in call(operations["POST /score"], GenerationMode.POSITIVE, fit)
    assert 400 in call(operations["POST /score"], GenerationMode.NEGATIVE, list(BASIC))
