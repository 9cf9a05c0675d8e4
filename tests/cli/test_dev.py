"""`fnpack dev` on real services: each trigger answers, edits are followed, data stay, and nothing is left behind."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from fnpack.cli.exit_codes import ExitCode

APP = """\
import azure.functions as func

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@app.route(route="hello", methods=["GET", "POST"])
def hello(req: func.HttpRequest) -> str:
    print("somebody said hello")
    return "hello"


@app.blob_trigger(arg_name="given", path="input/{name}.txt", connection="Store")
@app.blob_output(arg_name="$return", path="%BOX%/{name}.out", connection="Store")
def upper(given: func.InputStream) -> str:
    return given.read().decode().upper()


@app.queue_trigger(arg_name="msg", queue_name="jobs", connection="AzureWebJobsStorage")
@app.queue_output(arg_name="$return", queue_name="done", connection="AzureWebJobsStorage")
def job(msg: func.QueueMessage) -> str:
    return msg.get_body().decode() + "!"


@app.service_bus_queue_trigger(arg_name="msg", queue_name="in", connection="Bus")
@app.service_bus_queue_output(arg_name="$return", queue_name="out", connection="Bus")
def order(msg: func.ServiceBusMessage) -> str:
    body = msg.get_body().decode()
    if body == "bad":
        raise ValueError("a bad order")
    return body[::-1]


@app.service_bus_topic_trigger(arg_name="msg", topic_name="news", subscription_name="desk", connection="Bus")
@app.service_bus_topic_output(arg_name="$return", topic_name="results", connection="Bus")
def news(msg: func.ServiceBusMessage) -> str:
    return msg.get_body().decode().title()
"""
LOCAL_SETTINGS = {
    "IsEncrypted": False,
    "Values": {"AzureWebJobsStorage": "UseDevelopmentStorage=true", "BOX": "output"},
}
SCRIPT = "def init():\n    pass\n\n\ndef run(data):\n    return {'length': len(data)}\n"
PROJECT = """\
trigger = ["http", "service_bus_queue"]
auth_level = "anonymous"
input_queue = "rows"
output_queue = "predictions"
"""
CREATED = (
    "container output, container input, storage queue done, storage queue jobs, queue out, queue in, topic results, "
    "subscription news/desk, subscription results/fnpack-dev"
)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, home_of):
    return with_app(home_of(tmp_path_factory.mktemp("dev")))


@pytest.fixture(scope="module")
def dev(home, develop) -> Iterator[object]:
    """The app of this module."""
    with develop(home) as running:
        yield running


def test_start_says_what_was_created_and_what_to_type(dev) -> None:
    assert set(CREATED.split(", ")) == set(
        dev.log.partition("created      ")[2].partition("\n")[0].split(", ")
    )
    for command in (
        f"curl {dev.url}/api/hello -d ",
        "fnpack send blob:input/sample.txt --data ",
        "fnpack peek blob:output/sample.out",
        "fnpack send storage-queue:jobs --data ",
        "fnpack receive storage-queue:done",
        "fnpack send queue:in --data ",
        "fnpack peek queue:in --dead-letter",
        "fnpack receive queue:out",
        "fnpack send topic:news --data ",
        "fnpack receive topic:results/fnpack-dev",
    ):
        assert f"    {command}" in dev.log
    assert "a development service: every key is accepted, loopback only, not for production" in dev.log
    assert "Bus=Endpoint=sb://127.0.0.1:" in dev.log
    assert dev.out == ""


@pytest.mark.parametrize(
    ("function", "given", "answer", "source"),
    [
        ("hello", "x", "hello", "HTTP 200"),
        ("upper", "abc", "ABC", "output/input.out"),
        ("job", "abc", "abc!", "storage-queue:done"),
        ("order", "abc", "cba", "queue:out"),
        ("news", "abc def", "Abc Def", "topic:results/fnpack-dev"),
    ],
)
def test_each_function_answers_to_invoke(home, dev, function, given, answer, source) -> None:
    found = facts(home.out("invoke", "--function", function, "--data", given, "--json"))
    assert (found["output"], found["from"]) == (answer, source)


def test_each_call_is_told_in_a_line(home, dev) -> None:
    home.out("invoke", "-f", "hello", "--data", "x")
    home.out("invoke", "-f", "upper", "--data", "x", "--blob-name", "line.txt")
    dev.wait(" ms, ok\n", 2)
    lines = dev.log.splitlines()
    assert any("hello (http): POST /api/hello -> 200, " in line for line in lines)
    assert any("upper (blob): input/line.txt -> output/line.out, " in line for line in lines)
    dev.wait("somebody said hello")


def test_poison_message_is_reported_and_seen_with_its_reason(home, dev) -> None:
    failed = home("invoke", "-f", "order", "--data", "bad")
    assert failed.returncode == ExitCode.FAILED
    assert "Error FN502: function order has failed for good: MaxDeliveryCountExceeded" in failed.stderr
    assert "order (service bus): in/" in dev.log
    assert "failed: ValueError: a bad order" in dev.log
    (dead,) = facts(home.out("peek", "queue:in", "--dead-letter", "--json"))["messages"]
    assert (dead["body"], dead["dead_letter_reason"]) == ("bad", "MaxDeliveryCountExceeded")


def test_edit_is_followed_and_a_broken_one_waits_for_the_next(home, dev) -> None:
    script = home.folder / "function_app.py"
    script.write_text(APP.replace('return "hello"', 'return "good evening"'))
    dev.wait_ready(2)
    assert dev.get("/api/hello") == "good evening"
    script.write_text(APP + "\ndef broken(:\n")
    dev.wait("the app runs as it was; waiting for a change")
    assert "SyntaxError: invalid syntax" in dev.log
    assert dev.get("/api/hello") == "good evening"
    script.write_text(APP)
    dev.wait_ready(3)
    assert dev.get("/api/hello") == "hello"
    assert dev.log.count("created      ") == 1


def test_a_second_one_in_the_same_folder_is_refused(home, dev) -> None:
    refused = home("dev", "--json")
    assert refused.returncode == ExitCode.FAILED
    error = facts(refused.stdout)["error"]
    assert error["code"] == "FN520"
    assert f"(process {dev.process.pid})" in str(error)


def test_data_outlive_ctrl_c_and_no_process_outlives_anything(
    tmp_path: Path, home_of, develop, wait_until
) -> None:
    home, state = with_app(home_of(tmp_path)), ("--state", "kept")
    with develop(home, *state) as dev:
        home.out("send", "queue:out", "--data", "kept in the bus", "--property", "a=b", *state)
        home.out("send", "storage-queue:done", "--data", "kept in the queue", *state)
        home.out("send", "blob:output/kept", "--data", "kept as a blob", *state)
        assert len(home.processes()) == 4  # itself, storage, host, worker
        assert dev.stop() == ExitCode.INTERRUPTED
        assert not home.processes()
    assert "fnpack send queue:in --data '{\"data\": [1, 2]}' --state kept" in dev.log
    with develop(home, *state) as dev:
        message = facts(home.out("receive", "queue:out", "--json", *state))["messages"][0]
        assert (message["body"], message["properties"]) == ("kept in the bus", {"a": "b"})
        assert home.out("receive", "storage-queue:done", *state) == "kept in the queue\n"
        assert home.out("peek", "blob:output/kept", *state) == "kept as a blob\n"
        dev.process.kill()
        dev.process.wait()
        wait_until(lambda: not home.processes(), timeout_s=20, what="all children notice")


def test_services_alone_serve_a_project_that_is_built_on_each_change(
    tmp_path: Path, home_of, develop
) -> None:
    home = home_of(tmp_path)
    project = home.folder / "project"
    project.mkdir()
    (project / "score.py").write_text(SCRIPT)
    (project / "fnpack.toml").write_text(PROJECT)
    config = Path(__file__).parents[2] / "docker" / "servicebus" / "Config.json"
    with develop(home, "--services-only", "--no-state", "--config", str(config)) as services:
        lines = services.out.splitlines()
        assert [line.partition("=")[0] for line in lines] == ["AzureWebJobsStorage", "AzureWebJobsServiceBus"]
        assert home.out("peek", "topic:input-topic/scoring") == ""
        with develop(home, "project", "--json") as dev:
            running = facts(dev.out)
            settings = running["settings"]
            assert settings == {"TriggerConnectionString": lines[1].partition("=")[2]}
            assert {one["name"] for one in running["functions"]} == {"score", "score-queue"}
            assert home.out("invoke", "project", "-f", "score-queue", "--data", "[1]") == '{"length": 3}\n'
            (project / "score.py").write_text(SCRIPT.replace("len(data)", "-len(data)"))
            dev.wait_ready(2)
            assert home.out("invoke", "project", "-f", "score", "--data", "[1]") == '{"length": -3}\n'
            assert dev.stop(signal.SIGTERM) == 0
        assert services.process.poll() is None
        assert services.stop(signal.SIGTERM) == 0
    assert not home.processes()
    assert not list((home.folder / ".fnpack" / "dev").glob("azurite"))


def test_connection_of_ones_own_is_used_and_nothing_is_started(
    tmp_path: Path, home_of, develop, azurite
) -> None:
    home = home_of(tmp_path)
    app = {"function_app.py": APP.partition("@app.queue_trigger")[0], "host.json": '{"version": "2.0"}'}
    for name, text in app.items():
        (home.folder / name).write_text(text)
    box = f"box-{home.mark[:8]}"
    home.settings = {
        "Store": azurite.connection_string,
        "AzureWebJobsStorage": azurite.connection_string,
        "BOX": box,
    }
    with develop(home, "--no-reload") as dev:
        assert "Azurite" not in dev.log
        assert f"container {box}" in dev.log
        assert "fnpack send blob:input/sample.txt --data '{\"data\": [1, 2]}' --connection Store" in dev.log
        assert home.out("invoke", "-f", "upper", "--data", "x") == "X\n"
        assert len(home.processes()) == 3  # itself, host, worker
        assert dev.stop(signal.SIGTERM) == 0


def test_app_that_is_broken_at_the_start_is_told_and_mended(tmp_path: Path, home_of, develop) -> None:
    home = home_of(tmp_path)
    (home.folder / "score.py").write_text("def init(): pass\n")
    with develop(home, ready=False) as dev:
        dev.wait("nothing runs; waiting for a change")
        assert "Error FN323" in dev.log
        (home.folder / "score.py").write_text(SCRIPT.replace("pass", "raise ValueError('no weights')"))
        dev.wait("the host ended with code 3; waiting for a change")
        assert "ValueError: no weights" in dev.log
        (home.folder / "score.py").write_text(SCRIPT)
        dev.wait_ready()
        assert "fnpack send" not in dev.log
        assert dev.stop() == ExitCode.INTERRUPTED


def with_app(home):
    """The home, with the app in its folder."""
    (home.folder / "function_app.py").write_text(APP)
    (home.folder / "host.json").write_text('{"version": "2.0"}')
    (home.folder / "local.settings.json").write_text(json.dumps(LOCAL_SETTINGS))
    return home


def facts(text: str) -> dict:
    """The one object of a command with --json."""
    found = json.loads(text)
    assert found.pop("schema_version") == 1
    return found
