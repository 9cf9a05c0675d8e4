"""The generated functions, called with Microsoft's own types in a process of their own, as its Python worker does."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fnpack.app.directory import write_app
from fnpack.app.entry_script import EntryScript
from fnpack.app.functions import functions
from fnpack.spec import AppSpec, BlobTrigger, Environment, HttpTrigger, ServiceBusQueueTrigger

TRIGGERS = (HttpTrigger(), BlobTrigger("in/{name}.json", "out/{name}.json"), ServiceBusQueueTrigger("a", "b"))
SCRIPT = """
import json

def init():
    global factor
    factor = 2

{run}(data):
    return [factor * number for number in json.loads(data)["data"]]
"""
CALL = """
import asyncio, importlib, inspect, json, os, sys, types
import azure.functions as func

sys.path.insert(0, os.getcwd())
root = types.ModuleType("__app__")  # Microsoft's worker imports functions from this namespace package
root.__path__ = [os.getcwd()]
sys.modules["__app__"] = root
registry = func.get_binding_registry()
Datum = func.meta.Datum

class Out(func.Out):
    value = None
    def set(self, value): self.value = value
    def get(self): return self.value

def call(function, *arguments):
    main = importlib.import_module(f"__app__.{function}").main
    value = main(*arguments)
    return asyncio.run(value) if inspect.iscoroutine(value) else value

body = sys.stdin.buffer.read()
answer = call("score", func.HttpRequest("POST", "http://h/api/score", headers={"X": "y"}, body=body))
seen = {"status": answer.status_code, "body": answer.get_body().decode(), "type": answer.headers["Content-Type"]}
metadata = {"UserProperties": Datum("{}", "json"), "MessageId": Datum("m", "string")}
events = {
    "score-blob": registry.get("blobTrigger").decode(Datum(body, "bytes"), trigger_metadata=None),
    "score-queue": registry.get("serviceBusTrigger").decode(Datum(body, "bytes"), trigger_metadata=metadata),
}
for function, event in events.items():
    out = Out()
    try:
        call(function, event, out)
        written = registry.get("blob" if "blob" in function else "serviceBus").encode(out.get(), expected_type=bytes)
        seen[function] = written.value.decode()
    except Exception as error:
        seen[function] = type(error).__name__
print(json.dumps(seen))
"""


def call(tmp_path: Path, run: str, body: bytes) -> dict[str, object]:
    script = tmp_path / "score.py"
    script.write_text(SCRIPT.replace("{run}", run))
    app = write_app(AppSpec(script, None, (), TRIGGERS, Environment()), tmp_path / "app", lock_text="").path
    done = subprocess.run(
        [sys.executable, "-c", CALL], input=body, capture_output=True, cwd=app, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    seen: dict[str, object] = json.loads(done.stdout)
    return seen


@pytest.mark.parametrize("run", ["def run", "async def run"])
def test_every_trigger_scores(tmp_path: Path, run: str) -> None:
    assert call(tmp_path, run, b'{"data": [1, 2]}') == {
        "status": 200,
        "body": "[2, 4]",
        "type": "application/json",
        "score-blob": "[2, 4]",
        "score-queue": "[2, 4]",
    }


@pytest.mark.parametrize("run", ["def run", "async def run"])
def test_failure_is_a_500_for_http_and_an_error_for_events(tmp_path: Path, run: str) -> None:
    seen = call(tmp_path, run, b'{"wrong": 1}')
    assert seen["status"] == 500
    assert "message" in json.loads(str(seen["body"]))
    assert (seen["score-blob"], seen["score-queue"]) == ("KeyError", "KeyError")


@pytest.mark.parametrize("is_async", [False, True])
def test_each_function_is_small_and_has_a_docstring(is_async: bool) -> None:
    for function in functions(TRIGGERS, EntryScript(Path("score.py"), is_async=is_async)):
        module = ast.parse(function.source)
        assert ast.get_docstring(module)
        assert len(function.source.splitlines()) < 25
        (main,) = (node for node in module.body if getattr(node, "name", "") == "main")
        assert isinstance(main, ast.AsyncFunctionDef) is is_async


@given(st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1), st.text("\"'\\$}{a/", min_size=1))
def test_no_path_ends_the_docstring(given_path: str, output: str) -> None:
    (function,) = functions([BlobTrigger(given_path, output)], EntryScript(Path("score.py")))
    docstring = ast.get_docstring(ast.parse(function.source), clean=False) or ""
    assert docstring.startswith(
        f'Scores each blob that matches "{given_path}" and writes the result to "{output}".'
    )
