"""Entry scripts as people wrote them for SDK v1, unchanged, on the real host and without any azureml package."""

from __future__ import annotations

import base64
import io
import json
import pickle
import zipfile

import pytest
from scoring_apps import write_scoring_app

from fnpack.spec import ModelSource
from fnpack_host.scoring.errors import EntryScriptError
from fnpack_host.scoring.run_function import RunFunction

AZUREML = ("azureml", "azureml_inference_server_http", "inference_schema")
AS_JSON = {"Content-Type": "application/json"}


def score(host, value, path="/score"):
    status, body, _ = host.call(path, json.dumps(value).encode(), headers=AS_JSON)
    return status, json.loads(body)


def twice(host, value):
    """What a client of SDK v1 got from a script that returns `json.dumps(...)`: it decodes twice."""
    status, text = score(host, value)
    return status, json.loads(text)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A pickled model of plain Python."""

    def make(name="model", content=None):
        path = tmp_path_factory.mktemp("models") / f"{name}.pkl"
        path.write_bytes(pickle.dumps(content if content is not None else {"weights": [2.0, 3.0]}))
        return path

    return make


GLOBALS = """
import json
import os
import pickle
import logging

from azureml.core.model import Model

def init():
    global model
    # AZUREML_MODEL_DIR is an environment variable created during deployment.
    model_path = os.path.join(os.getenv("AZUREML_MODEL_DIR"), "model.pkl")
    assert os.path.samefile(model_path, Model.get_model_path("model"))
    with open(model_path, "rb") as f:
        model = pickle.load(f)
    logging.info("Init complete")

def run(raw_data):
    try:
        logging.info("Request received")
        data = json.loads(raw_data)["data"]
        result = [sum(w * x for w, x in zip(model["weights"], row)) for row in data]
        print("scored", len(result))
        return json.dumps({"result": result})
    except Exception as e:
        error = str(e)
        return error
"""


def test_globals_model_dir_json_dumps_and_str_of_the_error(scoring_host, model):
    host = scoring_host(GLOBALS, models=[model()], without=AZUREML)
    assert twice(host, {"data": [[1, 1], [2, 0]]}) == (200, {"result": [5.0, 4.0]})
    assert score(host, {"wrong": 1}) == (200, "'data'")
    assert host.call("/api/score", b'{"data": [[1, 1]]}')[:2] == (200, b'{"result": [5.0]}')
    for said in ("Init complete", "Request received", "scored 2"):
        host.wait_log(said)


CLASS = """
import json

class Scorer:
    def __init__(self):
        self.calls = 0

    def __call__(self, values):
        self.calls += 1
        return {"mean": sum(values) / len(values), "calls": self.calls}

scorer = None

def init():
    global scorer
    scorer = Scorer()

def run(data):
    return scorer(json.loads(data))
"""


def test_class_with_state(scoring_host):
    host = scoring_host(CLASS, without=AZUREML)
    assert score(host, [1, 2]) == (200, {"mean": 1.5, "calls": 1})
    assert score(host, [3]) == (200, {"mean": 3.0, "calls": 2})


HELPERS = """
import json
import os
import sys
sys.path.append(os.path.join(os.path.dirname(__file__), "lib"))
from features import scale
from pre.text import tokens
import vocabulary

def init():
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "data", "factor.txt")) as f:
        scale.factor = float(f.read())
    assert os.environ["AZUREML_SOURCE_DIRECTORY"] == "source"
    assert os.environ["AZUREML_ENTRY_SCRIPT"] == "source/score.py"
    assert os.path.isdir(os.path.join(os.environ["AML_APP_ROOT"], "source"))

def run(data):
    return [scale(vocabulary.WORDS.index(word)) for word in tokens(json.loads(data)["text"])]
"""
FILES = {
    "features.py": "def scale(x): return x * scale.factor\n",
    "pre/__init__.py": "",
    "pre/text.py": "from pre.cut import cut\ndef tokens(text): return cut(text.lower())\n",
    "pre/cut.py": "def cut(text): return text.split()\n",
    "lib/vocabulary.py": "WORDS = ['a', 'b', 'c']\n",
    "data/factor.txt": "2.5\n",
}


def test_helper_modules_and_data_in_the_source_directory(scoring_host):
    assert score(scoring_host(HELPERS, files=FILES, without=AZUREML), {"text": "C a"}) == (200, [5.0, 0.0])


RELATIVE = """
import json, pickle
from azureml.core import Model

def init():
    global model, path
    path = Model.get_model_path("source/weights.pkl")   # not registered: it is in the source directory
    with open("source/weights.pkl", "rb") as f:   # relative to the app's folder
        model = pickle.load(f)

def run(data):
    return [model["weights"], path]
"""


def test_unregistered_model_by_a_relative_path(scoring_host, model):
    files = {"weights.pkl": model().read_bytes()}
    host = scoring_host(RELATIVE, files=files, without=AZUREML)
    assert score(host, 0) == (200, [[2.0, 3.0], "source/weights.pkl"])


SEVERAL = """
import os, pickle
from azureml.core.model import Model
from azureml.exceptions import ModelNotFoundException

def init():
    global models, missing
    models = {}
    for name in ("first", "second"):
        with open(Model.get_model_path(model_name=name), "rb") as f:
            models[name] = pickle.load(f)
    root = os.environ["AZUREML_MODEL_DIR"]
    with open(os.path.join(root, "first", "1", "first.pkl"), "rb") as f:
        assert pickle.load(f) == models["first"]
    try:
        Model.get_model_path("third")
    except ModelNotFoundException as error:
        missing = str(error)

def run(data):
    return [models, missing]
"""


def test_several_models_and_one_that_is_missing(scoring_host, model):
    host = scoring_host(SEVERAL, models=[model("first", 1), model("second", 2)], without=AZUREML)
    status, (models, missing) = score(host, 0)
    assert (status, models) == (200, {"first": 1, "second": 2})
    assert "third" in missing


IMAGE = """
import base64, io, json, zlib

def init(): pass

def run(data):
    image = base64.b64decode(json.loads(data)["image"])
    return {"size": len(image), "crc": zlib.crc32(image), "back": base64.b64encode(image[:4]).decode()}
"""


def test_image_as_base64(scoring_host):
    image = bytes(range(256)) * 400
    status, answer = score(scoring_host(IMAGE, without=AZUREML), {"image": base64.b64encode(image).decode()})
    assert (status, answer["size"], answer["back"]) == (200, len(image), "AAECAw==")


FRAME = """
import json
import numpy as np
import pandas as pd
from inference_schema.schema_decorators import input_schema, output_schema
from inference_schema.parameter_types.numpy_parameter_type import NumpyParameterType
from inference_schema.parameter_types.pandas_parameter_type import PandasParameterType

input_sample = pd.DataFrame({"age": pd.Series([20], dtype="int64"), "when": pd.to_datetime(["2020-01-01"]),
                             "bmi": [21.5]})
output_sample = np.array([0.0])

def init():
    global seen
    seen = None

@input_schema("data", PandasParameterType(input_sample))
@output_schema(NumpyParameterType(output_sample))
def run(data):
    assert list(data.columns) == ["age", "when", "bmi"], data.columns
    assert str(data.dtypes["when"]).startswith("datetime64"), data.dtypes
    return {"result": (data["age"] * data["bmi"]).tolist(), "year": int(data["when"].dt.year.iloc[0])}
"""


@pytest.mark.parametrize("without", [("azureml",), AZUREML], ids=["real inference-schema", "stand-in"])
def test_pandas_schema(scoring_host, without):
    host = scoring_host(FRAME, without=without)
    row = {"age": 2, "when": "2021-05-06T00:00:00", "bmi": 1.5}
    assert score(host, {"data": [row, row]}) == (200, {"result": [3.0, 3.0], "year": 2021})
    status, answer = score(host, {"data": [{"age": 2}]})
    assert status == 400
    assert "columns" in answer["message"] or "data frame has size" in answer["message"]


POWER_BI = """
from inference_schema.schema_decorators import input_schema, output_schema
from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType
from inference_schema.parameter_types.pandas_parameter_type import PandasParameterType
from inference_schema.parameter_types.numpy_parameter_type import NumpyParameterType
import numpy as np, pandas as pd, datetime

sample = StandardPythonParameterType({"frame": PandasParameterType(pd.DataFrame({"x": [1.0]})),
                                      "array": NumpyParameterType(np.array([1])), "text": "plain"})
method = StandardPythonParameterType("predict")

def init(): pass

@input_schema("GlobalParameters", method, convert_to_provided_type=False)
@input_schema("Inputs", sample)
@input_schema("day", StandardPythonParameterType(datetime.datetime(2020, 1, 1)), optional=True)
@input_schema("blob", StandardPythonParameterType(b"bytes"))
@output_schema(StandardPythonParameterType({"Results": [0.5]}))
def run(Inputs, blob, GlobalParameters="predict", day=None):
    return {"Results": [float(Inputs["frame"]["x"].sum()), int(Inputs["array"].sum()), Inputs["text"],
                        blob.decode(), GlobalParameters, day.year if day else None]}
"""


@pytest.mark.parametrize("without", [("azureml",), AZUREML], ids=["real inference-schema", "stand-in"])
def test_nested_parameter_types_of_power_bi(scoring_host, without):
    host = scoring_host(POWER_BI, without=without)
    inputs = {"frame": [{"x": 1}, {"x": 2}], "array": [3, 4], "text": "t"}
    given = {"Inputs": inputs, "blob": base64.b64encode(b"b").decode()}
    assert score(host, given) == (200, {"Results": [3.0, 7, "t", "b", "predict", None]})
    given |= {"GlobalParameters": 1.0, "day": "2021-02-03T00:00:00+00:00"}
    assert score(host, given) == (200, {"Results": [3.0, 7, "t", "b", 1.0, 2021]})
    assert score(host, {**given, "Inputs": [1]})[0] == 400


UPLOAD = """
from azureml.contrib.services.aml_request import AMLRequest, rawhttp
from azureml.contrib.services.aml_response import AMLResponse
import json, os, tempfile

def init():
    print("This is init()")

@rawhttp
def run(request):
    print("Request: [{0}]".format(request))
    if request.method == 'GET':
        respBody = str.encode(request.full_path)
        return AMLResponse(respBody, 200)
    elif request.method == 'POST':
        file_bytes = request.files["image"]
        path = os.path.join(tempfile.mkdtemp(), file_bytes.filename)
        file_bytes.save(path)
        answer = {"name": file_bytes.filename, "type": file_bytes.mimetype, "size": os.path.getsize(path),
                  "second": request.files["image"].stream.read().hex(), "field": request.form["caption"],
                  "more": [f.read().decode() for f in request.files.getlist("more")],
                  "page": request.args.get("page", 1, type=int)}
        resp = AMLResponse(json.dumps(answer), 200)
        resp.headers['Access-Control-Allow-Origin'] = "http://www.example.com"
        return resp
    else:
        return AMLResponse("bad request", 500)
"""


def multipart(fields, boundary="----b0undary"):
    parts = []
    for name, filename, content_type, content in fields:
        where = f'form-data; name="{name}"' + (f'; filename="{filename}"' if filename else "")
        kind = f"Content-Type: {content_type}\r\n" if content_type else ""
        parts.append(
            f"--{boundary}\r\nContent-Disposition: {where}\r\n{kind}\r\n".encode() + content + b"\r\n"
        )
    return b"".join(parts) + f"--{boundary}--\r\n".encode(), {
        "Content-Type": f"multipart/form-data; boundary={boundary}"
    }


def test_raw_request_with_files_of_a_form(scoring_host):
    host = scoring_host(UPLOAD, without=AZUREML)
    image = b"\x89PNG\r\n\x1a\n--\x00\r\n\r\nend"
    body, headers = multipart(
        [
            ("image", "bätch.png", "image/png", image),
            ("caption", "", "", "größe".encode()),
            ("more", "a.txt", "text/plain", b"1"),
            ("more", "b.txt", "text/plain", b"2"),
        ]
    )
    status, answer, got = host.call("/score?page=7", body, headers=headers)
    assert status == 200, answer
    seen = json.loads(answer)
    assert seen == {
        "name": "bätch.png",
        "type": "image/png",
        "size": len(image),
        "second": "",
        "field": "größe",
        "more": ["1", "2"],
        "page": 7,
    }
    assert got["access-control-allow-origin"] == "http://www.example.com"
    assert host.call("/score?x=1", None, method="GET")[1] == b"/score?x=1"
    assert host.call("/score", body[:-20], headers=headers)[0] == 400


ASYNC = """
import asyncio, json

def init():
    global running, most
    running = most = 0

async def run(data, request_headers):
    global running, most
    running += 1
    most = max(most, running)
    while most < 3:
        await asyncio.sleep(0.01)
    running -= 1
    return {"who": request_headers.get("X-Who"), "most": most}
"""


def test_async_run_overlaps(scoring_host):
    from concurrent.futures import ThreadPoolExecutor

    host = scoring_host(ASYNC, without=AZUREML)
    with ThreadPoolExecutor(3) as threads:
        answers = list(
            threads.map(lambda n: host.call("/score", b"{}", headers={"X-Who": str(n), **AS_JSON}), range(3))
        )
    assert [(status, json.loads(body)["who"]) for status, body, _ in answers] == [
        (200, "0"),
        (200, "1"),
        (200, "2"),
    ]


COLLECTORS = """
import pandas as pd
from azureml.monitoring import ModelDataCollector
from azureml.ai.monitoring import Collector
from azureml.ai.monitoring.context import BasicCorrelationContext

def init():
    global inputs, predictions, collector
    inputs = ModelDataCollector("model", designation="inputs", feature_names=["a", "b"])
    predictions = ModelDataCollector("model", designation="predictions")
    collector = Collector(name="model_inputs", on_error=lambda e: None)

def run(data):
    inputs.collect([1, 2])
    predictions.collect([3])
    context = collector.collect(pd.DataFrame({"a": [1]}), BasicCorrelationContext(id="c"))
    return [context.get_id(), collector.collect(pd.DataFrame()).get_id()]
"""


def test_collectors_do_nothing_and_say_so_once(scoring_host):
    host = scoring_host(COLLECTORS, without=AZUREML)
    assert score(host, 0) == score(host, 0) == (200, ["c", ""])
    assert host.log.count("nothing is collected") == 2


ARCHIVE = """
import io, zipfile
from azureml_inference_server_http.api.aml_request import rawhttp
from azureml_inference_server_http.api.aml_response import AMLResponse

def init(): pass

@rawhttp
def run(request):
    if request.content_type != "application/zip":
        return AMLResponse({"error": request.mimetype}, 415, json_str=True)
    with zipfile.ZipFile(io.BytesIO(request.get_data(False))) as archive:
        return AMLResponse(archive.read("a.bin"), 200, {"Content-Type": "application/octet-stream"})
"""


def test_bytes_in_and_bytes_out_by_the_newer_names(scoring_host):
    host = scoring_host(ARCHIVE, without=AZUREML)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.bin", b"\x00\xff\xfe")
    status, body, _ = host.call("/score", buffer.getvalue(), headers={"Content-Type": "application/zip"})
    assert (status, body) == (200, b"\x00\xff\xfe")
    assert host.call("/score", b"x", headers={"Content-Type": "text/csv"})[:2] == (
        415,
        b'{"error": "text/csv"}',
    )


REAL = {  # a package of that name that is installed
    "azureml_inference_server_http/__init__.py": "",
    "azureml_inference_server_http/api/__init__.py": "",
    "azureml_inference_server_http/api/aml_request.py": """
_rawHttpRequested = False
class AMLRequest: pass
def rawhttp(function):
    global _rawHttpRequested
    _rawHttpRequested = True
    return function
""",
}
WITH_REAL = """
from azureml.contrib.services.aml_request import AMLRequest, rawhttp
from azureml.contrib.services.aml_response import AMLResponse
def init(): pass
@rawhttp
def run(request): return [AMLRequest.__module__, AMLResponse.__module__, request.get_data(as_text=True)]
"""


def test_real_package_wins_module_by_module(scoring_host):
    status, seen = score(scoring_host(WITH_REAL, files=REAL), "x")
    assert status == 200
    assert seen == ["azureml_inference_server_http.api.aml_request", "fnpack_scoring.response", '"x"']


SPARK = """
from inference_schema.schema_decorators import input_schema
from inference_schema.parameter_types.spark_parameter_type import SparkParameterType
def init(): pass
@input_schema("data", SparkParameterType(None))
def run(data): return 0
"""


BOTH = """
from azureml.contrib.services.aml_request import rawhttp
from inference_schema.schema_decorators import input_schema
from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType
def init(): pass
@rawhttp
@input_schema("data", StandardPythonParameterType(1))
def run(data): return 0
"""


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (SPARK, "add inference-schema[pyspark-support] to the app's requirements"),
        (BOTH, "score.py: `run` has both @rawhttp and @input_schema"),
    ],
)
def test_run_that_cannot_be_called_stops_the_host(tmp_path, start_host, script, said):
    host = start_host(write_scoring_app(tmp_path, script, {}, (), AZUREML), ready=False)
    assert host.process.wait(20) == 3
    assert said in host.log


@pytest.mark.parametrize(
    ("run", "said"),
    [
        (lambda *data: 0, "`run` has `*data`, which no call can fill"),
        (lambda **data: 0, "`run` has `**data`"),
        (lambda data, /: 0, "`run` has the positional-only `data`"),
        (lambda: 0, "`run` has no parameter for its input"),
        (lambda request_headers: 0, "`run` has no parameter for its input"),
        (7, "`run` cannot be called"),
        (min, "`run` has"),
    ],
)
def test_run_of_a_shape_that_cannot_be_called(run, said):
    with pytest.raises(EntryScriptError) as caught:
        RunFunction(run)
    assert str(caught.value).startswith(said) or "cannot be found out" in str(caught.value)


def test_init_that_fails_shows_the_models_files(scoring_app, start_host, tmp_path):
    folder = tmp_path / "net"
    (folder / "variables").mkdir(parents=True)
    for number in range(250):
        (folder / "variables" / f"part-{number:03}").write_text("")
    app = scoring_app(
        "def init(): open('wrong')\ndef run(data): return 0\n", models=[ModelSource("net", folder)]
    )
    host = start_host(app, ready=False)
    assert host.process.wait(20) == 3
    assert "AZUREML_MODEL_DIR is " in host.log
    assert "part-197" in host.log
    assert "part-198" not in host.log
    assert "... (the first 200 lines)" in host.log
