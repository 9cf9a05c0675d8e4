"""What a new user meets when a host does not run, or an entry script does not: `fnpack run` and `fnpack invoke`."""

from __future__ import annotations

import base64
import json
import signal
import socket
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from fnpack.cli.exit_codes import ExitCode

FAILED = {"message": "An unexpected error occurred in scoring script. Check the logs for more info."}
# the beginning of Azurite's published key
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq"
ECHO = "def init():\n    pass\n\n\ndef run(data):\n    return data\n"


@pytest.fixture
def containers(azurite) -> Iterator[tuple[str, str]]:
    """Names of an input and an output container of this test's own; the test creates them."""
    from azure.storage.blob import BlobServiceClient

    names = (f"in-{uuid.uuid4().hex[:8]}", f"out-{uuid.uuid4().hex[:8]}")
    yield names
    with BlobServiceClient.from_connection_string(azurite.connection_string) as service:
        for container in service.list_containers():
            if container.name in names:
                service.delete_container(container.name)


def create(azurite, *names: str) -> None:
    from azure.storage.blob import BlobServiceClient

    with BlobServiceClient.from_connection_string(azurite.connection_string) as service:
        for name in names:
            service.create_container(name)


def blob_app(build_app, containers: tuple[str, str], script: str = ECHO) -> Path:
    given, out = containers
    return build_app(
        "--trigger", "blob", "--input-path", given + "/{name}.json", "--output-path", out + "/{name}_out.json",
        script=script,
    )  # fmt: skip


def http_app(build_app, script: str = ECHO) -> Path:
    return build_app("--auth-level", "anonymous", script=script)


def processes_with(text: str) -> list[int]:
    """The processes that have `text` in their environment."""

    def has(folder: Path) -> bool:
        try:
            return text.encode() in (folder / "environ").read_bytes()
        except OSError:  # it has just ended
            return False

    return [int(folder.name) for folder in Path("/proc").glob("[0-9]*") if has(folder)]


def test_taken_port_is_an_error_and_no_worker_stays(fnpack, build_app) -> None:
    app = http_app(build_app)
    before = fnpack.snapshot()
    mark = {"FNPACK_TEST_MARK": uuid.uuid4().hex}
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = fnpack("run", str(app), "--port", port, settings=mark)
        as_json = fnpack("run", str(app), "--port", port, "--json", settings=mark)
    assert (ended.code, ended.stdout) == (ExitCode.HOST_NOT_STARTED, "")
    assert f"Error FN210: cannot listen on 127.0.0.1:{port}: " in ended.stderr
    assert "Hint: choose another port with --port (0 takes any free one)" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert (as_json.code, as_json.error["code"]) == (3, "FN210")
    assert not processes_with(mark["FNPACK_TEST_MARK"])
    assert fnpack.snapshot() == before


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (None, "the connection setting `TriggerConnectionString` is not set"),
        ("", "the connection setting `TriggerConnectionString` is not set"),
        (f"AccountName=devstoreaccount1;AccountKey={KEY}=;", "`AccountKey` is not base64"),
        (f"AccountKey={KEY}", "it has neither `AccountName` nor `BlobEndpoint`"),
        (
            f"Endpoint=sb://x.example/;SharedAccessKey={KEY}",
            "it has neither `AccountName` nor `BlobEndpoint`",
        ),
        ("https://account.blob.example", "part 1 is not of the form `Key=Value`"),
    ],
)
def test_connection_that_is_missing_or_malformed_stops_the_host(fnpack, build_app, value, says) -> None:
    app = build_app("--trigger", "blob")
    before = fnpack.snapshot()
    settings = {} if value is None else {"TriggerConnectionString": value}
    for command in (("run", str(app), "--port", "0"), ("invoke", str(app), "--data", "1")):
        ended = fnpack(*command, settings=settings)
        assert (ended.code, ended.stdout) == (ExitCode.HOST_NOT_STARTED if command[0] == "run" else 1, "")
        assert says in ended.stderr
        assert "Error FN" in ended.stderr
        assert "Hint: " in ended.stderr
        as_json = fnpack(*command, "--json", settings=settings)
        assert as_json.code == ended.code
        assert as_json.error["code"] in ended.stderr
        everything = ended.stderr + as_json.stdout + as_json.stderr
        assert KEY not in everything
        assert "Traceback" not in everything
    assert fnpack.snapshot() == before


def test_storage_that_refuses_the_key_is_told_without_it(fnpack, build_app, azurite) -> None:
    app = build_app("--trigger", "blob")
    wrong = {
        "TriggerConnectionString": azurite.connection_string.replace("AccountKey=Eby8", "AccountKey=Aby8")
    }
    call = fnpack("invoke", str(app), "--data", "1", settings=wrong)
    assert (call.code, call.stdout) == (ExitCode.FAILED, "")
    assert (
        "Error FN142: storage account `devstoreaccount1` refused to read `output/input_out.json`"
        in call.stderr
    )
    run = fnpack("run", str(app), "--port", "0", settings=wrong)
    assert (run.code, run.stdout) == (ExitCode.HOST_NOT_STARTED, "")
    assert "Error FN130: the connection setting `TriggerConnectionString` does not work" in run.stderr
    for ended in (call, run):
        assert "Hint: check the key or the signature in the connection setting" in ended.stderr
        assert KEY[4:] not in ended.stderr
        assert "Traceback" not in ended.stderr


def test_storage_that_does_not_answer_is_told_by_invoke(fnpack, build_app, free_port) -> None:
    app = build_app("--trigger", "blob")
    nowhere = f"AccountName=a;AccountKey=aaaa;BlobEndpoint=http://127.0.0.1:{free_port()}/a"
    ended = fnpack("invoke", str(app), "--data", "1", settings={"TriggerConnectionString": nowhere})
    assert (ended.code, ended.stdout) == (ExitCode.FAILED, "")
    assert "Error FN141: storage account `a` does not answer" in ended.stderr
    assert "Hint: check the address in the connection setting" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_absent_container_is_named_once_and_works_when_it_is_created(
    fnpack, build_app, containers, azurite, start_host, wait_until
) -> None:
    app = blob_app(build_app, containers)
    settings = {"TriggerConnectionString": azurite.connection_string}
    host = start_host(app, settings=settings)
    absent = f"container `{containers[0]}` of storage account `devstoreaccount1` does not exist; create it"
    host.wait_log(absent)
    ended = fnpack("invoke", str(app), "--data", "1", settings=settings)
    assert ended.code == ExitCode.FAILED
    assert f"Error FN501: the container `{containers[0]}` does not exist" in ended.stderr
    create(azurite, *containers)
    host.wait_log(f"container `{containers[0]}` is there now")
    answer = fnpack("invoke", str(app), "--data", '{"a": 1}', settings=settings)
    assert (answer.code, answer.stdout) == (0, '{"a": 1}\n')
    assert host.log.count("does not exist") == 1
    assert host.stop() == 0
    assert KEY not in host.log


def test_script_that_raises_in_init_stops_the_host(fnpack, build_app) -> None:
    app = http_app(
        build_app, "def init():\n    raise OSError('no weights here')\n\n\ndef run(data):\n    return 1\n"
    )
    before = fnpack.snapshot()
    mark = {"FNPACK_TEST_MARK": uuid.uuid4().hex, "PYTHONDONTWRITEBYTECODE": "1"}
    ended = fnpack("run", str(app), "--port", "0", settings=mark)
    assert (ended.code, ended.stdout) == (ExitCode.HOST_NOT_STARTED, "")
    assert "Error FN220: the worker for " in ended.stderr
    assert f'File "{app}/score.py", line 2, in init' in ended.stderr
    assert "OSError: no weights here" in ended.stderr
    assert "Hint: mend the " in ended.stderr
    assert "packager/fnpack" not in ended.stderr  # the user's own frames, not ours
    as_json = fnpack("run", str(app), "--port", "0", "--json", settings=mark)
    assert (as_json.code, as_json.error["code"]) == (3, "FN220")
    assert not processes_with(mark["FNPACK_TEST_MARK"])
    assert fnpack.snapshot() == before


def test_script_that_cannot_be_imported_stops_the_host(fnpack, build_app) -> None:
    app = http_app(
        build_app, "import no_such_module\n\n\ndef init():\n    pass\n\n\ndef run(data):\n    return 1\n"
    )
    ended = fnpack("run", str(app), "--port", "0")
    assert ended.code == ExitCode.HOST_NOT_STARTED
    assert "No module named 'no_such_module'" in ended.stderr
    assert f'File "{app}/score.py", line 1' in ended.stderr


def test_script_that_raises_in_run_answers_500_in_the_form_of_sdk_v1(fnpack, build_app, start_host) -> None:
    app = http_app(build_app, "def init():\n    pass\n\n\ndef run(data):\n    raise ValueError('sesame')\n")
    host = start_host(app)
    status, body, headers = host.call("/api/score", b"1")
    assert (status, json.loads(body), headers["x-ms-run-function-failed"]) == (500, FAILED, "True")
    host.wait_log("ValueError: sesame")
    ended = fnpack("invoke", str(app), "--data", "1", "--url", host.url)
    assert (ended.code, ended.stdout) == (ExitCode.FAILED, "")
    assert "Error FN502: function score answered with status 500: " in ended.stderr
    assert "Hint: the cause is in the host's log" in ended.stderr
    assert "sesame" not in ended.stderr
    assert fnpack("invoke", str(app), "--data", "1", "--url", host.url, "--json").error["code"] == "FN502"


def test_blob_that_always_fails_is_tried_five_times_and_then_reported(
    fnpack, build_app, containers, azurite, start_host, wait_until
) -> None:
    from azure.storage.blob import BlobServiceClient
    from azure.storage.queue import QueueServiceClient

    create(azurite, *containers)
    app = blob_app(
        build_app, containers, "def init():\n    pass\n\n\ndef run(data):\n    raise ValueError('sesame')\n"
    )
    settings = {"TriggerConnectionString": azurite.connection_string}
    host = start_host(app, settings=settings)
    ended = fnpack(
        "invoke", str(app), "--data", "1", "--blob-name", "bad.json", "--timeout", "10", settings=settings
    )
    assert (ended.code, ended.stdout) == (ExitCode.FAILED, "")
    assert f"Error FN503: {containers[0]}/bad.json was dropped, but no output" in ended.stderr
    assert "webjobs-blobtrigger-poison" in ended.stderr

    def message() -> dict[str, str] | None:
        with QueueServiceClient.from_connection_string(azurite.connection_string) as service:
            queue = service.get_queue_client("webjobs-blobtrigger-poison")
            for found in queue.receive_messages(messages_per_page=32, visibility_timeout=1):
                text = found.content if found.content.startswith("{") else base64.b64decode(found.content)
                content: dict[str, str] = json.loads(text)
                if content["ContainerName"] == containers[0]:
                    queue.delete_message(found)
                    return content
        return None

    with BlobServiceClient.from_connection_string(azurite.connection_string) as service:
        etag = service.get_blob_client(containers[0], "bad.json").get_blob_properties().etag.strip('"')
    assert wait_until(message, timeout_s=20, what="a poison message") == {
        "Type": "BlobTrigger",
        "FunctionId": "Host.Functions.score-blob",
        "BlobType": "BlockBlob",
        "ContainerName": containers[0],
        "BlobName": "bad.json",
        "ETag": etag,
    }
    for attempt in range(1, 6):
        assert f"{containers[0]}/bad.json (attempt {attempt}) failed" in host.log
    assert "(attempt 6)" not in host.log
    host.wait_log("webjobs-blobtrigger-poison")
    assert host.stop() == 0


def test_invoke_waits_for_a_host_that_is_still_starting(
    fnpack, build_app, start_host, wait_until, free_port
) -> None:
    gate = fnpack.folder / "open"
    app = http_app(
        build_app,
        f"import os, time\n\n\ndef init():\n    while not os.path.exists({str(gate)!r}):\n"
        "        time.sleep(0.02)\n\n\n"
        "def run(data):\n    return data\n",
    )
    port = free_port()
    host = start_host(app, "--port", str(port), ready=False)
    url = f"http://127.0.0.1:{port}"

    def listens() -> bool:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            return False
        return True

    wait_until(listens, timeout_s=20)
    early = fnpack("invoke", str(app), "--data", "1", "--url", url, "--timeout", "1")
    assert early.code == ExitCode.FAILED
    assert "Error FN502: the host was still starting after 1 s (status 503)" in early.stderr
    assert "raise --timeout" in early.stderr
    call = fnpack.start("invoke", str(app), "--data", "7", "--url", url)
    threading.Timer(1, gate.touch).start()
    stdout, stderr = call.communicate(timeout=60)
    assert (call.returncode, stdout) == (0, "7\n"), stderr
    assert host.stop() == 0


def test_invoke_with_an_empty_file_says_so_and_still_calls(fnpack, build_app, start_host) -> None:
    app = http_app(build_app, "def init():\n    pass\n\n\ndef run(data):\n    return len(data)\n")
    host = start_host(app)
    (fnpack.folder / "empty.json").touch()
    ended = fnpack("invoke", str(app), "--file", "empty.json", "--url", host.url)
    assert (ended.code, ended.stdout) == (0, "0\n")
    assert "Note: the input is empty" in ended.stderr


def test_invoke_without_the_key_says_where_keys_are(fnpack, build_app, start_host, tmp_path) -> None:
    app = build_app()
    host = start_host(app, "--enable-auth", settings={"FUNCTIONS_SECRETS_PATH": str(tmp_path / "keys")})
    ended = fnpack("invoke", str(app), "--data", "1", "--url", host.url, "--key", "c2VzYW1l")
    assert ended.code == ExitCode.FAILED
    assert "Error FN502: function score answered with status 401" in ended.stderr
    assert "Hint: give the function's key with --key or FNPACK_KEY" in ended.stderr
    assert "c2VzYW1l" not in ended.stderr
    key = json.loads((tmp_path / "keys" / "host.json").read_text())["functionKeys"][0]["value"]
    assert (
        fnpack("invoke", str(app), "--data", "1", "--url", host.url, settings={"FNPACK_KEY": key}).stdout
        == "1\n"
    )
    assert key not in host.log


def test_keys_without_a_place_stop_the_host(fnpack, build_app) -> None:
    app = build_app()
    ended = fnpack("run", str(app), "--port", "0", "--enable-auth")
    assert ended.code == ExitCode.HOST_NOT_STARTED
    assert "Error FN230: " in ended.stderr
    assert "FUNCTIONS_SECRETS_PATH" in ended.stderr


def test_ctrl_c_ends_a_host_with_130_and_no_worker(fnpack, build_app, start_host) -> None:
    mark = uuid.uuid4().hex
    host = start_host(http_app(build_app), settings={"FNPACK_TEST_MARK": mark})
    assert len(processes_with(mark)) == 2
    host.process.send_signal(signal.SIGINT)
    assert host.process.wait(30) == ExitCode.INTERRUPTED
    assert not processes_with(mark)
    assert "Traceback" not in host.log


def test_wrong_function_of_two_is_answered_with_their_names(fnpack, build_app) -> None:
    app = build_app("--trigger", "http", "--trigger", "blob")
    ended = fnpack("invoke", str(app), "--function", "score_blob", "--data", "1")
    assert ended.code == ExitCode.FAILED
    assert "the app has no function `score_blob`; it has score, score-blob" in ended.stderr
    assert "did you mean `--function score-blob`?" in ended.stderr
