"""What scripts get of blobs and give to several outputs, through the real host and real storage."""

from __future__ import annotations

import base64
import json
import uuid
from contextlib import closing

import pytest
from azure.storage.blob import BlobServiceClient
from azure.storage.queue import QueueClient

from fnpack.spec import BlobTrigger, HttpTrigger, Output

SCRIPT = """
import json
from azureml.contrib.services.aml_request import rawhttp
from fnpack_scoring import Outputs
def init(): pass
@rawhttp
def run(request):
    data = request.get_data()
    if data == b"fail":
        return Outputs("never", nowhere=1)
    return Outputs({"bytes": list(data)}, alerts=[1, data.hex()], report=data[::-1], unused=None)
"""
TEXT = "def init(): pass\ndef run(data): return {'type': type(data).__name__, 'data': data}\n"


@pytest.fixture
def storage(azurite):
    with BlobServiceClient.from_connection_string(azurite.connection_string) as service:
        yield service, azurite.connection_string


def settings(connection):
    return {"TriggerConnectionString": connection, "AzureWebJobsStorage": connection}


def content(container, name):
    blob = container.get_blob_client(name)
    return blob.download_blob().readall() if blob.exists() else None


def test_bytes_arrive_untouched_and_go_to_every_named_output(storage, scoring_app, start_host, wait_until):
    service, connection = storage
    name = f"out-{uuid.uuid4().hex[:8]}"
    triggers = (HttpTrigger("anonymous"), BlobTrigger(f"{name}/in/{{name}}", f"{name}/done/{{name}}.json"))
    outputs = (
        Output("alerts", "queue", name),
        Output("report", "blob", f"{name}/reports/{{rand-guid}}.bin"),
        Output("unused", "blob", f"{name}/unused.bin"),
    )
    app = scoring_app(SCRIPT, triggers=triggers, outputs=outputs)
    container = service.create_container(name)
    host = start_host(app, settings=settings(connection))
    container.upload_blob("in/a", b"\xff\x00a")
    done = wait_until(lambda: content(container, "done/a.json"), timeout_s=20)
    assert json.loads(done) == {"bytes": [255, 0, 97]}
    status, body, _ = host.call("/score", b"\xfe")
    assert (status, json.loads(body)) == (200, {"bytes": [254]})
    reports = {content(container, one.name) for one in container.list_blobs(name_starts_with="reports/")}
    assert reports == {b"a\x00\xff", b"\xfe"}
    with closing(QueueClient.from_connection_string(connection, name)) as queue:
        messages = [json.loads(base64.b64decode(one.content)) for one in queue.receive_messages()]
    assert sorted(messages) == [[1, "fe"], [1, "ff0061"]]
    assert content(container, "unused.bin") is None
    status, body, _ = host.call("/score", b"fail")
    assert (status, json.loads(body)["message"]) == (
        500,
        "An unexpected internal error occurred. Check the logs for more info.",
    )
    host.wait_log(
        "the entry script gave the output `nowhere`; beside the result there is `alerts`, `report`, `unused`"
    )


def test_blob_that_is_no_text_fails_clearly_and_is_named_as_poison(
    storage, scoring_app, start_host, wait_until
):
    service, connection = storage
    name = f"text-{uuid.uuid4().hex[:8]}"
    app = scoring_app(TEXT, triggers=[BlobTrigger(f"{name}/in/{{name}}", f"{name}/done/{{name}}")])
    container = service.create_container(name)
    host = start_host(app, settings=settings(connection))
    container.upload_blob("in/good", "é".encode())
    container.upload_blob("in/bad", b"caf\xe9")
    done = wait_until(lambda: content(container, "done/good"), timeout_s=20)
    assert json.loads(done) == {"type": "str", "data": "é"}
    host.wait_log("the input is not UTF-8 text (byte 0xe9 at offset 3)")
    host.wait_log("webjobs-blobtrigger-poison")
    assert content(container, "done/bad") is None
