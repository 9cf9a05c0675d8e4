"""The rows of docs/entry-scripts.md as data: a script, a request, and what SDK v1's server and fnpack answer.

What SDK v1's column says was seen on azureml-inference-server-http 1.5.1.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

JSON = "application/json"
TEXT = "text/plain; charset=utf-8"
FORM = "application/x-www-form-urlencoded"
SCRIPT_FAILED = {"message": "An unexpected error occurred in scoring script. Check the logs for more info."}
INTERNAL = {"message": "An unexpected internal error occurred. Check the logs for more info."}
ANY = object()  # a message of its own


@dataclass(frozen=True)
class Answer:
    """A status and a body: bytes as they are, anything else as JSON; ANY for a message that is not compared."""

    status: int
    body: object = ANY
    content_type: str = JSON
    headers: Mapping[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """One row. `sdk` is SDK v1's answer and that of fnpack when strict; `default` is fnpack's where it is another."""

    name: str
    script: str
    sdk: Answer
    default: Answer | None = None
    method: str = "POST"
    path: str = "/score"
    body: bytes | None = b"x"
    content_type: str | None = JSON
    headers: Mapping[str, str] = field(default_factory=dict)


def value(name: str, expression: str, sdk: Answer, default: Answer | None = None) -> Row:
    """A row on what becomes of a value that `run` returns."""
    return Row(name, VALUES, sdk, default, body=expression.encode())


SEEN = "def init(): pass\ndef run(data): return {'type': type(data).__name__, 'data': data}\n"
VALUES = """
import numpy as np
from azureml.contrib.services.aml_response import AMLResponse
def init(): pass
def run(data): return eval(data)
"""
SCHEMA = """
import numpy as np
from inference_schema.schema_decorators import input_schema, output_schema
from inference_schema.parameter_types.numpy_parameter_type import NumpyParameterType
from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType
def init(): pass
@input_schema("data", NumpyParameterType(np.array([[1.0, 2.0]])))
@input_schema("scale", StandardPythonParameterType(1.5))
@output_schema(NumpyParameterType(np.array([1.0])))
def run(data, scale=1.0):
    assert isinstance(data, np.ndarray)
    return (data.sum(axis=1) * scale).tolist()
"""
RAW = """
from azureml.contrib.services.aml_request import AMLRequest, rawhttp
from azureml.contrib.services.aml_response import AMLResponse
def init(): pass
@rawhttp
def run(request):
    body = request.get_data()
    return {
        "method": request.method, "args": request.args.get("a"), "header": request.headers.get("x-thing"),
        "bytes": list(body), "full_path": request.full_path.split("/")[-1],
    }
"""
HEADERS = """
def init(): pass
def run(request_headers, data):
    return [isinstance(request_headers, dict), request_headers["X-My-Thing"], data]
"""
OTHER_RAW = """
from azureml.contrib.services.aml_request import rawhttp
def init(): pass
@rawhttp
def not_run(request): return 0
def run(data): return type(data).__name__ == "str"
"""
DRIVER = """
import types
driver_module = types.ModuleType("driven")
driver_module.__file__ = "driven.py"
exec("def init(): pass\\ndef run(data): return 'driven ' + data", driver_module.__dict__)
def init(): pass
def run(data): return "driver"
"""
ASYNC = "def init(): pass\nasync def run(data): return [data]\n"
BYTES = "def init(): pass\ndef run(data: bytes): return type(data).__name__\n"


BODY = json.dumps({"data": [[1, 2], [3, 4]]}).encode()
FAILED = {"x-ms-run-function-failed": "True"}
NOT_FAILED = {"x-ms-run-function-failed": "False"}

# fmt: off
ROWS = (
    # --- how run is called ---
    Row("undecorated POST gets text", SEEN, Answer(200, {"type": "str", "data": "é"}), body="é".encode()),
    Row(
        "undecorated GET gets the query as a JSON object",
        SEEN,
        Answer(200, {"type": "str", "data": '{"a": 1, "b": ["x", [2]], "c": ""}'}),
        method="GET",
        path="/score?a=1&b=x&b=[2]&c=",
        body=None,
    ),
    Row("schema gives keyword arguments, converted", SCHEMA, Answer(200, [3.0, 7.0]), body=BODY),
    Row("schema takes what has no default from the object", SCHEMA, Answer(200, [6.0]),
        body=b'{"data": [[1, 2]], "scale": 2.0, "more": 1}'),
    Row("schema and GET", SCHEMA, Answer(200, [3.0]), method="GET", path="/score?data=[[1,2]]", body=None),
    Row("raw request", RAW,
        Answer(200, {"method": "POST", "args": "1", "header": "t", "bytes": [255, 0], "full_path": "score?a=1"}),
        path="/score?a=1", body=b"\xff\x00", headers={"X-Thing": "t"}, content_type="image/x"),
    Row("request_headers is a dict, with any input", HEADERS, Answer(200, [True, "v", "x"]),
        headers={"x-my-thing": "v"}),
    Row("rawhttp of another function", OTHER_RAW, Answer(200, False), Answer(200, True)),
    Row("driver module is seen through", DRIVER, Answer(200, "driven x")),
    Row("async run", ASYNC, Answer(500, INTERNAL), Answer(200, ["x"])),
    Row("run(data: bytes)", BYTES, Answer(200, "str"), Answer(200, "bytes")),
    # --- results and codes ---
    value("JSON value", "{'a': [1, 2.5, None, True]}", Answer(200, {"a": [1, 2.5, None, True]}, headers=NOT_FAILED)),
    value("tuple", "(1, 2)", Answer(200, [1, 2])),
    value("np.float64", "np.float64(0.5)", Answer(200, 0.5)),
    value("text", "'a\"b'", Answer(200, 'a"b')),
    value("text that is JSON is encoded again", "'[1]'", Answer(200, "[1]")),
    value("None", "None", Answer(200, b"{}")),
    value("NaN", "[float('nan'), float('-inf')]", Answer(200, b"[NaN, -Infinity]"), Answer(200, b"[null, null]")),
    value("ndarray", "np.arange(3.0)", Answer(500, INTERNAL, headers=NOT_FAILED), Answer(200, [0.0, 1.0, 2.0])),
    value("np.float32 inside", "{'y': np.float32(0.5)}", Answer(500, INTERNAL), Answer(200, {"y": 0.5})),
    value("bytes", "b'\\x00\\xff'", Answer(500, INTERNAL), Answer(200, b"\x00\xff", "application/octet-stream")),
    value("generator", "(one for one in data)", Answer(500, INTERNAL)),
    value("exception in run", "1 / 0", Answer(500, SCRIPT_FAILED, headers=FAILED)),
    Row("wrong shape for the schema", SCHEMA, Answer(500, SCRIPT_FAILED, headers=FAILED), Answer(400),
        body=b'{"data": [[1, 2, 3]]}'),
    Row("wrong type for the schema", SCHEMA, Answer(500, SCRIPT_FAILED), Answer(400), body=b'{"data": [["a", 2]]}'),
    Row("body that is not UTF-8", SEEN, Answer(400), body=b"ab\xff"),
    Row("schema: bad JSON", SCHEMA, Answer(400), body=b"{"),
    Row("schema: empty body", SCHEMA, Answer(400), body=b""),
    Row("schema: no object", SCHEMA, Answer(400), body=b"[1]"),
    Row("schema: missing key", SCHEMA, Answer(400), body=b'{"scale": 1}'),
    Row("schema: missing key of a GET", SCHEMA, Answer(400), method="GET", body=None),
    Row("schema and a content type that is not JSON", SCHEMA, Answer(415), body=b"a,b", content_type="text/csv"),
    Row("schema and JSON that is called something else", SCHEMA, Answer(415), Answer(200, [3.0, 7.0]),
        body=BODY, content_type=FORM),
    Row("form content type, undecorated", SEEN, Answer(200, {"type": "str", "data": ""}),
        Answer(200, {"type": "str", "data": '{"a": 1}'}),
        body=b'{"a": 1}', content_type=FORM),
    Row("other method", SEEN, Answer(405), method="PUT"),
    Row("OPTIONS", SEEN, Answer(200, b"", ""), method="OPTIONS", body=None),
    Row("unknown path", SEEN, Answer(404), Answer(404, b"", ""), path="/unknown", method="GET", body=None),
    Row("request id over 100 characters", SEEN, Answer(431), headers={"x-request-id": "i" * 101}),
    Row("client id over 100 characters", SEEN, Answer(431), headers={"x-ms-client-request-id": "i" * 101}),
    Row("older client id over 100 characters", SEEN, Answer(431), headers={"x-ms-request-id": "i" * 101}),
    value("AMLResponse with text", "AMLResponse('<b>', 201, {'X-A': 'b'})",
        Answer(201, b"<b>", "text/html; charset=utf-8", {"x-a": "b"})),
    value("AMLResponse with bytes and a type", "AMLResponse(b'\\xff', 200, {'Content-Type': 'image/x'})",
        Answer(200, b"\xff", "image/x")),
    value("AMLResponse as JSON", "AMLResponse({'a': 1}, 202, json_str=True)", Answer(202, {"a": 1})),
    value("AMLResponse with nothing", "AMLResponse(None, 200)", Answer(200, b"{}")),
    value("AMLResponse with 400", "AMLResponse({'e': 1}, 400, {}, True)", Answer(400, {"e": 1}, headers=NOT_FAILED)),
    value("AMLResponse with 503", "AMLResponse('', 503)", Answer(503, b"", "text/html; charset=utf-8", FAILED)),
    value("AMLResponse says that it failed", "AMLResponse('no', 200, {}, False, True)",
        Answer(200, b"no", "text/html; charset=utf-8", FAILED)),
    Row("health probe", SEEN, Answer(200, b"Healthy", "text/html; charset=utf-8"), Answer(200, b"Healthy", TEXT),
        path="/", method="GET", body=None),
    Row("unknown version of the document", SEEN, Answer(404), path="/swagger.json?version=4", method="GET", body=None),
)
# fmt: on
