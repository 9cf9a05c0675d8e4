"""A `run` that is async behind the packager's back, called by the synchronous function of Microsoft's host."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from fnpack.spec import BlobTrigger, HttpTrigger, Trigger

HTTP = HttpTrigger("anonymous")
SCRIPT = "from helper import run\ndef init(): pass\n"
HELPER = """
import asyncio, contextvars, threading
invocation = contextvars.ContextVar("invocation", default=None)
loops, came, both = set(), 0, asyncio.Event()

async def run(data):
    global came
    loops.add(id(asyncio.get_running_loop()))
    match data:
        case "fail":
            raise ValueError("bad row")
        case "exit":
            raise SystemExit(3)
        case "meet":
            came += 1
            if came == 2:
                both.set()
            await asyncio.wait_for(both.wait(), 20)
    await asyncio.sleep(0)
    return {"data": data, "loops": len(loops), "invocation": invocation.get()}
"""
CALLER = """
import importlib.util, json, sys
sys.path.insert(0, ".")
import azure.functions
spec = importlib.util.spec_from_file_location("function", sys.argv[1])
function = importlib.util.module_from_spec(spec)
spec.loader.exec_module(function)
import helper

def call(text):
    request = azure.functions.HttpRequest(method="POST", url="http://h/api/score", body=text.encode())
    answer = function.main(request)
    return answer.status_code, json.loads(answer.get_body())

class Output:
    value = None
    def set(self, value):
        self.value = value

def deliver(text):
    output = Output()
    function.main(azure.functions.blob.InputStream(data=text.encode()), output)
    return json.loads(output.value)

"""


@pytest.fixture
def printed(scoring_app):
    """Imports the app's function as Microsoft's host does, in a new Python, and returns the JSON that `code` prints."""

    def run(code: str, *, trigger: Trigger = HTTP, script: str = SCRIPT):
        app = scoring_app(script, triggers=(trigger,))
        (app / "helper.py").write_text(HELPER)
        (function,) = app.glob("*/function.json")
        entry = function.with_name("__init__.py")
        assert "async def" not in entry.read_text()
        command = [sys.executable, "-c", CALLER + code, str(entry)]
        done = subprocess.run(command, cwd=app, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        assert "never awaited" not in done.stderr
        return json.loads(done.stdout)

    return run


def test_every_call_is_awaited_on_the_same_loop(printed):
    answers = printed("print(json.dumps([call('a'), call('b')]))")
    assert answers == [
        [200, {"data": "a", "loops": 1, "invocation": None}],
        [200, {"data": "b", "loops": 1, "invocation": None}],
    ]


def test_calls_from_several_threads_overlap(printed):
    answers = printed("""
from concurrent.futures import ThreadPoolExecutor
with ThreadPoolExecutor(2) as pool:
    print(json.dumps(list(pool.map(call, ["meet", "meet"]))))
""")
    assert [(status, answer["data"]) for status, answer in answers] == [(200, "meet")] * 2


@pytest.mark.parametrize("how", ["fail", "exit"])
def test_failure_is_an_answer_and_the_next_call_works(printed, how):
    (status, failure), (next_status, _) = printed(f"print(json.dumps([call('{how}'), call('a')]))")
    assert (status, next_status) == (500, 200)
    assert failure["message"].startswith("An unexpected error occurred in scoring script.")


def test_context_of_the_caller_is_the_context_of_run(printed):
    _, answer = printed("helper.invocation.set('17'); print(json.dumps(call('a')))")
    assert answer["invocation"] == "17"


def test_blob_is_scored_and_its_failure_reaches_the_host(printed):
    code = """
answer = deliver("a")
try:
    deliver("fail")
except ValueError as error:
    print(json.dumps([answer["data"], str(error)]))
"""
    assert printed(code, trigger=BlobTrigger("in/{name}", "out/{name}")) == ["a", "bad row"]


def test_sync_run_that_returns_an_awaitable_is_awaited(printed):
    script = "import helper\ndef init(): pass\ndef run(data): return helper.run(data)\n"
    status, answer = printed("print(json.dumps(call('a')))", script=script)
    assert (status, answer["data"]) == (200, "a")
