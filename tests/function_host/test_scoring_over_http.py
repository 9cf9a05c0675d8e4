"""The scoring contract over HTTP, through the real host process."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fnpack.spec import HttpTrigger, ModelSource

ECHO = "def init(): pass\ndef run(data): return data\n"
FAILED = {"message": "An unexpected error occurred in scoring script. Check the logs for more info."}


def test_init_runs_once_and_run_gets_text(scoring_app, start_host):
    host = start_host(
        scoring_app("""
import json, os
count = 0
def init():
    global count
    count += 1
def run(data):
    return {"type": type(data).__name__, "sum": sum(json.loads(data)["data"]), "inits": count, "cwd": os.getcwd()}
""")
    )
    for _ in range(3):
        status, answer = host.score({"data": [1, 2, 3]})
        assert (status, answer["type"], answer["sum"], answer["inits"]) == (200, "str", 6, 1)
    assert Path(answer["cwd"]).name == "app"


@pytest.mark.parametrize(
    ("expression", "body", "content_type"),
    [
        ("[1, 2]", b"[1, 2]", "application/json"),
        ("'text'", b"text", "text/plain; charset=utf-8"),
        ("b'\\x00\\xff'", b"\x00\xff", "application/octet-stream"),
        ("None", b"{}", "application/json"),
        ("__import__('numpy').arange(3.0)", b"[0.0, 1.0, 2.0]", "application/json"),
        ("{'y': __import__('numpy').float32(0.5)}", b'{"y": 0.5}', "application/json"),
    ],
)
def test_result_becomes_the_output(scoring_app, start_host, expression, body, content_type):
    host = start_host(scoring_app(f"def init(): pass\ndef run(data): return {expression}\n"))
    status, answer, headers = host.call("/api/score", b"x")
    assert (status, answer, headers["content-type"]) == (200, body, content_type)


def test_raw_script_gets_the_untouched_bytes_and_answers_with_a_response(scoring_app, start_host):
    host = start_host(
        scoring_app("""
from azureml.contrib.services.aml_request import AMLRequest, rawhttp
from azureml.contrib.services.aml_response import AMLResponse
def init(): pass
@rawhttp
def run(request):
    assert isinstance(request, AMLRequest)
    return AMLResponse(request.get_data()[::-1], 201, {"Content-Type": "image/x", "X-Q": request.args["q"]})
""")
    )
    status, body, headers = host.call("/api/score?q=a%20b", b"\xff\x00\x01")
    assert (status, body) == (201, b"\x01\x00\xff")
    assert (headers["content-type"], headers["x-q"]) == ("image/x", "a b")


def test_text_script_answers_400_to_bytes_that_are_no_text(scoring_app, start_host):
    host = start_host(scoring_app(ECHO))
    status, body, _ = host.call("/api/score", b"ab\xff")
    assert status == 400
    assert "byte 0xff at offset 2" in json.loads(body)["message"]


def test_exception_in_run_is_a_plain_500_and_the_cause_is_only_in_the_log(scoring_app, start_host):
    host = start_host(scoring_app("def init(): pass\ndef run(data): raise ValueError('sesame ' + data)\n"))
    status, body, headers = host.call("/api/score", b"open")
    assert (status, json.loads(body)) == (500, FAILED)
    assert headers["x-ms-run-function-failed"] == "True"
    host.wait_log("ValueError: sesame open")


def test_system_exit_in_run_fails_the_call_and_not_the_worker(scoring_app, start_host):
    host = start_host(
        scoring_app(
            "def init(): pass\ndef run(data):\n    if data == 'x': raise SystemExit(9)\n    return 1\n"
        )
    )
    assert host.call("/api/score", b"x")[0] == 500
    assert host.call("/api/score", b"y")[:2] == (200, b"1")
    assert "ended unexpectedly" not in host.log


def test_async_runs_overlap(scoring_app, start_host):
    host = start_host(
        scoring_app("""
import asyncio
running = most = 0
def init(): pass
async def run(data):
    global running, most
    running += 1
    most = max(most, running)
    await asyncio.sleep(0.3)
    running -= 1
    return most
""")
    )
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: host.call("/api/score", b"x"), range(8)))
    assert all(status == 200 for status, _, _ in answers)
    assert max(int(body) for _, body, _ in answers) == 8


def test_model_dir_and_variables_are_those_of_sdk_v1(scoring_app, start_host, tmp_path):
    (tmp_path / "m.txt").write_text("weights")
    app = scoring_app(
        """
import os
from azureml.core.model import Model
def init():
    global weights
    with open(os.path.join(os.environ["AZUREML_MODEL_DIR"], "m.txt")) as file:
        weights = file.read()
def run(data):
    return [weights, open(Model.get_model_path("m")).read(), os.environ["SPECIAL"]]
""",
        models=[ModelSource("m", tmp_path / "m.txt")],
        variables={"SPECIAL": "a=b c"},
    )
    assert start_host(app).score(1) == (200, ["weights", "weights", "a=b c"])


def test_print_and_logging_carry_function_and_invocation(scoring_app, start_host):
    host = start_host(
        scoring_app("""
import logging
def init(): print("in init")
def run(data):
    print("seen", data)
    logging.warning("careful %s", data)
    return 1
""")
    )
    host.call("/api/score", b"abc")
    host.wait_log("careful abc")
    line = next(line for line in host.log.splitlines() if "seen abc" in line)
    invocation = line.split("[score ")[1].split("]")[0]
    assert f"WARNING [score {invocation}] careful abc" in host.log
    host.wait_log(f"score {invocation}: POST request -> 200")


def test_crash_of_the_worker_fails_only_its_call(scoring_app, start_host):
    host = start_host(
        scoring_app("""
import os, time
def init(): pass
def run(data):
    if data == "crash": os.kill(os.getpid(), 9)
    time.sleep(0.05)
    return data
""")
    )
    bodies = [b"crash" if number == 3 else b"%d" % number for number in range(12)]
    with ThreadPoolExecutor(12) as threads:
        answers = list(threads.map(lambda body: host.call("/api/score", body)[:2], bodies))
    expected = [(500, b"") if body == b"crash" else (200, body) for body in bodies]
    assert answers == expected


def test_call_over_function_timeout_gets_500_and_a_new_worker(scoring_app, start_host):
    app = scoring_app(
        "import time\ndef init(): pass\ndef run(data):\n    while data == 'hang': time.sleep(1)\n    return data\n"
    )
    host = start_host(app, settings={"AzureFunctionsJobHost__functionTimeout": "00:00:01"})
    assert host.call("/api/score", b"hang")[0] == 500
    assert host.call("/api/score", b"fine")[:2] == (200, b"fine")
    assert "ran longer than functionTimeout (1 s)" in host.log


def test_sigterm_finishes_the_running_call_and_exits_0(scoring_app, start_host):
    host = start_host(
        scoring_app("import time\ndef init(): pass\ndef run(data):\n    time.sleep(1)\n    return 'done'\n")
    )
    with ThreadPoolExecutor(1) as threads:
        answer = threads.submit(host.call, "/api/score", b"x")
        time.sleep(0.3)
        assert host.stop() == 0
        assert answer.result()[:2] == (200, b"done")


def test_second_signal_ends_at_once_and_leaves_no_worker(scoring_app, start_host):
    host = start_host(
        scoring_app("import os, time\ndef init(): print('pid', os.getpid())\ndef run(data): time.sleep(60)\n")
    )
    worker = int(host.log.split("pid ")[1].split()[0])
    with ThreadPoolExecutor(1) as threads:
        call = threads.submit(host.call, "/api/score", b"x")
        time.sleep(0.3)
        host.process.send_signal(signal.SIGINT)
        host.wait_log("draining")
        host.process.send_signal(signal.SIGINT)
        assert host.process.wait(5) == 130
        assert call.exception(10) is not None
    deadline = time.monotonic() + 5
    while Path(f"/proc/{worker}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(f"/proc/{worker}").exists()


def test_init_that_raises_stops_the_host_with_3_and_the_traceback(scoring_app, start_host):
    host = start_host(
        scoring_app("def init(): raise RuntimeError('no weights')\ndef run(data): return 1\n"), ready=False
    )
    assert host.process.wait(20) == 3
    assert "RuntimeError: no weights" in host.log
    assert "score.py" in host.log
    assert "Hint:" in host.log


def test_worker_that_dies_in_init_stops_the_host_with_3(scoring_app, start_host):
    host = start_host(
        scoring_app("import os\ndef init(): os._exit(7)\ndef run(data): return 1\n"), ready=False
    )
    assert host.process.wait(20) == 3
    assert "exit code 7" in host.log


def test_taken_port_is_an_error_with_3(scoring_app, start_host):
    host = start_host(scoring_app(ECHO))
    second = subprocess.run(
        [sys.executable, "-m", "fnpack", "run", "app", "--port", host.url.rsplit(":", 1)[1]],
        cwd=host.log_file.parent,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert second.returncode == 3
    assert "FN210" in second.stderr
    assert "--port" in second.stderr


def test_keys_are_enforced_when_asked_and_live_in_the_folder(scoring_app, start_host, tmp_path):
    app = scoring_app(ECHO, triggers=[HttpTrigger("function")])
    folder = tmp_path / "keys"
    host = start_host(
        app, "--enable-auth", settings={"FUNCTIONS_SECRETS_PATH": str(folder), "AzureWebJobsStorage": ""}
    )
    key = json.loads((folder / "score.json").read_text())["keys"][0]["value"]
    master = json.loads((folder / "host.json").read_text())["masterKey"]["value"]
    assert host.call("/api/score", b"x")[0] == 401
    assert host.call("/api/score", b"x", headers={"x-functions-key": "wrong"})[0] == 401
    assert host.call("/api/score", b"x", headers={"x-functions-key": key})[:2] == (200, b"x")
    assert host.call(f"/api/score?code={master}", b"x")[0] == 200
    assert host.call(f"/api/score?code={key}", b"x", headers={"x-functions-key": "wrong"})[0] == 401
    assert host.call("/admin/functions", None)[0] == 401
    assert host.call("/admin/functions", None, headers={"x-functions-key": master})[0] == 200
    assert key not in host.log
    assert master not in host.log
    assert (folder / "host.json").stat().st_mode & 0o077 == 0


def test_keys_without_a_place_stop_an_image_with_a_hint(scoring_app, start_host):
    app = scoring_app(ECHO, triggers=[HttpTrigger("function")])
    settings = {"AzureWebJobsStorage": "", "FUNCTIONS_SECRETS_PATH": ""}
    host = start_host(app, settings=settings, module=True, ready=False)
    assert host.process.wait(20) == 3
    assert "FN230" in host.log
    assert "--auth-level anonymous" in host.log


def test_body_over_the_limit_is_413(scoring_app, start_host):
    host = start_host(scoring_app(ECHO), settings={"FUNCTIONS_REQUEST_BODY_SIZE_LIMIT": "1000"})
    assert host.call("/api/score", b"x" * 1001)[0] == 413
    assert host.call("/api/score", b"x" * 1000)[0] == 200


def test_calls_over_the_outstanding_limit_are_429(scoring_app, start_host):
    app = scoring_app("import time\ndef init(): pass\ndef run(data):\n    time.sleep(0.5)\n    return 1\n")
    host = start_host(app, settings={"AzureFunctionsJobHost__extensions__http__maxOutstandingRequests": "2"})
    with ThreadPoolExecutor(6) as threads:
        codes = sorted(threads.map(lambda _: host.call("/api/score", b"x")[0], range(6)))
    assert codes == [200, 200, 429, 429, 429, 429]


def test_large_body_travels_unharmed(scoring_app, start_host):
    host = start_host(
        scoring_app("""
import hashlib
from azureml_inference_server_http.api.aml_request import rawhttp
def init(): pass
@rawhttp
def run(request): return hashlib.sha256(request.data).digest() + request.data
""")
    )
    import hashlib

    body = os.urandom(20_000_000)
    status, answer, _ = host.call("/api/score", body)
    assert status == 200
    assert answer == hashlib.sha256(body).digest() + body


def test_response_header_with_a_line_break_cannot_split_the_response(scoring_app, start_host):
    host = start_host(
        scoring_app("""
from azureml.contrib.services.aml_response import AMLResponse
def init(): pass
def run(data): return AMLResponse("ok", 200, {"X-A": "1\\r\\nX-Injected: 2"})
""")
    )
    status, _, headers = host.call("/api/score", b"x")
    assert status == 200
    assert headers["x-injected"] is None


def test_get_passes_the_query_as_json(scoring_app, start_host):
    host = start_host(scoring_app("import json\ndef init(): pass\ndef run(data): return json.loads(data)\n"))
    status, body, _ = host.call("/api/score?a=1&b=x&b=2", None, method="GET")
    assert (status, json.loads(body)) == (200, {"a": 1, "b": ["x", 2]})


def test_home_page_status_and_unknown_paths(scoring_app, start_host):
    host = start_host(scoring_app(ECHO))
    assert host.call("/", None)[1] == b"Healthy"
    assert host.call("/admin/host/ping", None)[0] == 200
    status = json.loads(host.call("/admin/host/status", None)[1])
    assert (status["state"], status["errors"]) == ("Running", [])
    assert host.call("/api/nothing", None)[0] == 404
    assert host.call("/api/score", b"x", method="PUT")[0] == 404
    assert host.call("/API/Score", b"x")[0] == 200


def test_two_workers_share_the_calls(scoring_app, start_host):
    app = scoring_app(
        "import os, time\ndef init(): pass\ndef run(data):\n    time.sleep(0.2)\n    return os.getpid()\n"
    )
    host = start_host(app, settings={"FUNCTIONS_WORKER_PROCESS_COUNT": "2"})
    with ThreadPoolExecutor(6) as threads:
        pids = {
            host_answer[1] for host_answer in threads.map(lambda _: host.call("/api/score", b"x"), range(6))
        }
    assert len(pids) == 2


def test_app_packages_win_over_the_hosts(scoring_app, start_host):
    app = scoring_app("import click\ndef init(): pass\ndef run(data): return click.__file__\n")
    own = app / ".python_packages" / "lib" / "site-packages" / "click"
    own.mkdir(parents=True)
    (own / "__init__.py").write_text("")
    assert str(own).encode() in start_host(app).call("/api/score", b"x")[1]


def of_another_kind(app: Path) -> None:
    """Add a function with a trigger that this host does not have."""
    trigger = {"type": "eventHubTrigger", "direction": "in", "name": "event", "eventHubName": "h"}
    (app / "hub").mkdir()
    (app / "hub" / "function.json").write_text(
        json.dumps({"scriptFile": "__init__.py", "bindings": [trigger]})
    )
    (app / "hub" / "__init__.py").write_text("def main(event): pass\n")


def test_function_of_a_kind_that_cannot_run_here_leaves_the_others_alone(scoring_app, start_host):
    app = scoring_app(ECHO)
    of_another_kind(app)
    host = start_host(app)
    assert host.call("/api/score", b"x")[:2] == (200, b"x")
    assert "function hub cannot run: binding `event` is a eventhubtrigger: no such binding type" in host.log


def test_app_of_which_nothing_can_run_stops_the_host_with_3(scoring_app, start_host):
    app = scoring_app(ECHO)
    of_another_kind(app)
    shutil.rmtree(app / "score")
    host = start_host(app, ready=False)
    assert host.process.wait(20) == 3
    assert "can run" in host.log
