"""The app's copy of the adapter, called as Microsoft's Python worker calls it: through `main`, with azure.functions."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys

import pytest
from scoring_apps import STRICT, write_scoring_app
from sdk_v1_rows import ANY, ROWS, TEXT, VALUES, Answer
from sdk_v1_rows import SCHEMA as SCHEMA_ROWS

from fnpack.spec import BlobTrigger, HttpTrigger, Output, ServiceBusQueueTrigger

CALLER = """
import asyncio, base64, importlib, inspect, json, sys, types
import azure.functions as func
sys.path.insert(0, ".")
root = types.ModuleType("__app__")  # Microsoft's worker imports functions from this namespace package
root.__path__ = ["."]
sys.modules["__app__"] = root
Datum = func.meta.Datum

class Out(func.Out):
    value = None
    def set(self, value): self.value = value
    def get(self): return self.value

def call(function, *arguments, **named):
    value = importlib.import_module(f"__app__.{function}").main(*arguments, **named)
    return asyncio.run(value) if inspect.iscoroutine(value) else value
"""
HTTP = """
answers = []
for method, path, body, headers in json.load(sys.stdin):
    url = "http://h/api" + path
    answer = call("score", func.HttpRequest(method, url, headers=headers, body=base64.b64decode(body)))
    headers = {name.lower(): value for name, value in answer.headers.items()}
    answers.append([answer.status_code, base64.b64encode(answer.get_body()).decode(), headers])
json.dump(answers, sys.stdout)
"""
OF_THE_HOST = {"other method", "OPTIONS", "unknown path", "health probe", "unknown version of the document"}
MINE = [row for row in ROWS if row.name not in OF_THE_HOST and "over 100" not in row.name]


def run(app, code, given, **environment):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", CALLER + code],
        input=given,
        capture_output=True,
        cwd=app,
        timeout=60,
        check=False,
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


def sent(row):
    headers = {**row.headers, **({"content-type": row.content_type} if row.content_type else {})}
    return row.method, row.path, base64.b64encode(row.body or b"").decode(), headers


def expected(row, *, strict):
    """What Azure's route gives: text is text, unless strict."""
    answer = row.sdk if strict else row.default or row.sdk
    is_text = (
        answer.status == 200
        and isinstance(answer.body, str)
        and answer.content_type.startswith("application")
    )
    return Answer(200, str(answer.body).encode(), TEXT) if is_text and not strict else answer


@pytest.mark.parametrize(
    ("script", "strict"),
    [
        *((script, False) for script in sorted({row.script for row in MINE})),
        (VALUES, True),
        (SCHEMA_ROWS, True),
    ],
)
def test_rows_are_the_same_there(tmp_path, script, strict):
    rows = [row for row in MINE if row.script == script]
    app = write_scoring_app(tmp_path, script, {}, ())
    answers = run(app, HTTP, json.dumps([sent(row) for row in rows]).encode(), **(STRICT if strict else {}))
    for row, (status, encoded, headers) in zip(rows, answers, strict=True):
        answer, body = expected(row, strict=strict), base64.b64decode(encoded)
        assert status == answer.status, (row.name, body)
        if answer.body is ANY:
            assert isinstance(json.loads(body)["message"], str), row.name
            continue
        assert (body if isinstance(answer.body, bytes) else json.loads(body)) == answer.body, row.name
        assert headers["content-type"] == answer.content_type, row.name


EVENTS = """
body = sys.stdin.buffer.read()
registry = func.get_binding_registry()
metadata = {"UserProperties": Datum("{}", "json"), "MessageId": Datum("m", "string")}
events = {
    "score-blob": registry.get("blobTrigger").decode(Datum(body, "bytes"), trigger_metadata=None),
    "score-queue": registry.get("serviceBusTrigger").decode(Datum(body, "bytes"), trigger_metadata=metadata),
}
seen = {}
for function, event in events.items():
    out = Out()
    try:
        call(function, event, out)
        seen[function] = out.get().decode("latin-1")
    except Exception as error:
        seen[function] = f"{type(error).__name__}: {error}"
json.dump(seen, sys.stdout)
"""
EVENT_TRIGGERS = (BlobTrigger("in/{name}", "out/{name}"), ServiceBusQueueTrigger("a", "b"))
RAW = """
from azureml.contrib.services.aml_request import rawhttp
def init(): pass
@rawhttp
def run(request): return request.get_data()[::-1]
"""
SCHEMA = """
from inference_schema.schema_decorators import input_schema
from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType
def init(): pass
@input_schema("data", StandardPythonParameterType([1.0]))
def run(data): return sum(data)
"""
RESPONDS = """
from azureml.contrib.services.aml_response import AMLResponse
def init(): pass
def run(data): return AMLResponse(data, 200 if data == "ok" else 418)
"""


@pytest.mark.parametrize(
    ("script", "body", "written"),
    [
        ("def init(): pass\ndef run(data): return data + '!'\n", "é".encode(), "é!".encode().decode("latin-1")),
        ("def init(): pass\ndef run(data): return data\n", b"a\xff", "BadInput: the input is not UTF-8 text"),
        ("def init(): pass\ndef run(data: bytes): return data[::-1]\n", b"a\xff", "\xffa"),
        ("def init(): pass\nasync def run(data: 'bytes'): return data[::-1]\n", b"a\xff", "\xffa"),
        (RAW, b"a\xff", "\xffa"),
        (SCHEMA, b'{"data": [1, 2.5]}', "3.5"),
        (SCHEMA, b"[]", "BadInput: the body must be a JSON object with `data`"),
        (RESPONDS, b"ok", "ok"),
        (RESPONDS, b"no", "ScoringError: the entry script answered with status 418: no"),
        ("def init(): pass\ndef run(data): return {'a': None}\n", b"", '{"a": null}'),
        ("def init(): pass\ndef run(data): return (n for n in 'a')\n", b"", "ResultError: run() returned what no JSON"),
    ],
)  # fmt: skip
def test_events_are_text_or_bytes_and_failures_reach_the_host(scoring_app, script, body, written):
    seen = run(scoring_app(script, triggers=EVENT_TRIGGERS), EVENTS, body)
    assert set(seen) == {"score-blob", "score-queue"}
    assert all(one.startswith(written) for one in seen.values()), seen


@pytest.mark.parametrize(
    "wait", ["def run(data): time.sleep(30)", "async def run(data): await asyncio.sleep(30)"]
)
def test_event_over_the_scoring_timeout_is_a_failure(scoring_app, wait):
    script = f"import asyncio, time\ndef init(): pass\n{wait}\n"
    seen = run(scoring_app(script, triggers=EVENT_TRIGGERS), EVENTS, b"", SCORING_TIMEOUT_MS="100")
    assert set(seen.values()) == {"ScoringError: Scoring timeout after 100 ms"}


SEVERAL = """
from fnpack_scoring import Outputs
def init(): pass
{run}(data):
    if data == "unknown":
        return Outputs(1, nowhere=2)
    return Outputs({{"score": 1}}, alerts=[data], report=b"\\xff", archive=None)
"""
OUTPUTS = (
    Output("alerts", "queue", "alerts"),
    Output("report", "blob", "reports/{rand-guid}.bin"),
    Output("archive", "service_bus_topic", "archive"),
)
NAMED = """
seen = {}
for data in ("x", "unknown"):
    for function, event in (("score", func.HttpRequest("POST", "http://h/api/score", body=data.encode())),
                            ("score-blob", func.blob.InputStream(data=data.encode()))):
        outs = {name: Out() for name in ("output", "alerts", "report", "archive")}
        if function == "score":
            del outs["output"]
        try:
            answer = call(function, event, **outs)
            seen[f"{function} {data}"] = [answer and answer.get_body().decode()] + [
                out.get() and out.get().decode("latin-1") for out in outs.values()]
        except Exception as error:
            seen[f"{function} {data}"] = f"{type(error).__name__}: {error}"
json.dump(seen, sys.stdout)
"""
REFUSED = (
    "ScoringError: the entry script gave the output `nowhere`; beside the result there is "
    "`alerts`, `report`, `archive`"
)


@pytest.mark.parametrize("run_line", ["def run", "async def run"])
def test_outputs_by_name(scoring_app, run_line):
    triggers = (HttpTrigger("anonymous"), EVENT_TRIGGERS[0])
    app = scoring_app(SEVERAL.format(run=run_line), triggers=triggers, outputs=OUTPUTS)
    for function in ("score", "score-blob"):
        bindings = json.loads((app / function / "function.json").read_text())["bindings"]
        assert [one["name"] for one in bindings if one["direction"] == "out"][1:] == [
            "alerts",
            "report",
            "archive",
        ]
    assert run(app, NAMED, b"") == {
        "score x": ['{"score": 1}', '["x"]', "\xff", None],
        "score-blob x": [None, '{"score": 1}', '["x"]', "\xff", None],
        "score unknown": REFUSED,
        "score-blob unknown": REFUSED,
    }
