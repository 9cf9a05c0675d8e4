"""Queue triggers, queue outputs and what expressions read of a message, through the real host and real storage."""

from __future__ import annotations

import base64
import json
import re
import uuid
from contextlib import closing

import pytest
from azure.storage.blob import BlobServiceClient
from azure.storage.queue import QueueServiceClient

HTTP = {"type": "httpTrigger", "direction": "in", "name": "req", "authLevel": "anonymous"}
RETURN = {"type": "http", "direction": "out", "name": "$return"}
STORE = {"connection": "AzureWebJobsStorage"}


def trigger(queue, **more):
    return {
        "type": "queueTrigger",
        "direction": "in",
        "name": "msg",
        "queueName": f"BOX-{queue}",
        **STORE,
        **more,
    }


def out(kind, name, **more):
    return {"type": kind, "direction": "out", "name": name, **STORE, **more}


def folder(name, bindings, script):
    return {f"{name}/function.json": json.dumps({"bindings": bindings}), f"{name}/__init__.py": script}


FILES = {
    **folder(
        "order",
        [
            trigger("orders"),
            {"type": "blob", "direction": "in", "name": "given", "path": "BOX/{customer.id}.txt", **STORE},
            out(
                "blob", "$return", path="BOX/{Kind}-{dequeuecount}-{datetime:yyyy}-{rand-guid:N}-{sys.utcnow}"
            ),
        ],
        "def main(msg, given) -> str: return msg.get_json()['kind'] + ' ' + given.read().decode()\n",
    ),
    **folder(
        "raw",
        [trigger("raw", dataType="binary"), out("blob", "$return", path="BOX/raw-{id}")],
        "def main(msg: bytes) -> bytes: return msg + type(msg).__name__.encode()\n",
    ),
    **folder(
        "text",
        [trigger("text"), out("blob", "$return", path="BOX/text-{queueTrigger}")],
        "def main(msg: str) -> str: return msg + ' ' + type(msg).__name__\n",
    ),
    **folder("off", [trigger("off")], "def main(msg): print('must not run')\n"),
    **folder(
        "many",
        [HTTP, RETURN, out("queue", "to", queueName="BOX-many"), out("queue", "text", queueName="BOX-many")],
        """
        import typing
        import azure.functions as func
        def main(req, to: func.Out[typing.List[str]], text: func.Out[str]) -> str:
            to.set(["a", "b"])
            text.set('["c", {"d": 1}]')
            return "sent"
        """,
    ),
    **folder(
        "returned",
        [HTTP, out("queue", "$return", queueName="BOX-returned-{query.name}")],
        "def main(req) -> str: return 'to the queue'\n",
    ),
}


class Box:
    """A storage account's part of its own: one container, and queues below one name."""

    def __init__(self, connection_string):
        self.name = f"q{uuid.uuid4().hex[:10]}"
        self.blobs = BlobServiceClient.from_connection_string(connection_string)
        self.queues = QueueServiceClient.from_connection_string(connection_string)
        self.container = self.blobs.create_container(self.name)

    def send(self, queue, content):
        client = self.queues.get_queue_client(f"{self.name}-{queue}")
        client.send_message(base64.b64encode(content).decode())

    def texts(self, queue):
        found = self.queues.get_queue_client(f"{self.name}-{queue}").peek_messages(32)
        return sorted(base64.b64decode(message.content).decode() for message in found)

    def blob(self, prefix):
        """Name and content of the blob whose name begins so, or None."""
        for name in self.container.list_blob_names(name_starts_with=prefix):
            return name, self.container.download_blob(name).readall()
        return None

    def close(self):
        for client in (self.container, self.blobs, self.queues):
            client.close()


@pytest.fixture(scope="module")
def box(azurite):
    with closing(Box(azurite.connection_string)) as one:
        yield one


@pytest.fixture(scope="module")
def host(host_of, box, azurite):
    for queue in ("orders", "raw", "text", "off"):
        box.queues.create_queue(f"{box.name}-{queue}").close()
    settings = {"AzureWebJobsStorage": azurite.connection_string, "AzureWebJobs.off.Disabled": "1"}
    box.send("off", b"stays")
    return host_of({path: text.replace("BOX", box.name) for path, text in FILES.items()}, settings)


def test_json_of_a_message_its_metadata_and_builtins_name_blobs(host, box, wait_until):
    box.container.upload_blob("7.txt", b"for seven")
    box.send("orders", b'{"kind": "tea", "customer": {"ID": 7}, "list": [1]}')
    name, content = wait_until(lambda: box.blob("tea-"), 20, what="the order's blob")
    assert content == b"tea for seven"
    assert re.fullmatch(r"tea-1-2\d{3}-[0-9a-f]{32}-\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ", name)


def test_message_is_bytes_or_text_as_data_type_and_annotation_ask(host, box, wait_until):
    box.send("raw", b"\x00\xff")
    assert wait_until(lambda: box.blob("raw-"), 20, what="raw")[1] == b"\x00\xffbytes"
    box.send("text", "grün".encode())
    assert wait_until(lambda: box.blob("text-"), 20, what="text") == ("text-grün", "grün str".encode())


def test_list_and_json_array_become_a_message_each(host, box):
    assert host.call("/api/many", b"x")[:2] == (200, b"sent")
    assert [json.loads(text) if text.startswith("{") else text for text in box.texts("many")] == [
        "a",
        "b",
        "c",
        {"d": 1},
    ]


def test_returned_value_goes_to_a_queue_that_is_created_and_is_the_answer(host, box):
    assert host.call("/api/returned?name=x", b"x")[:2] == (200, b"to the queue")
    assert box.texts("returned-x") == ["to the queue"]


def test_disabled_function_has_no_listener(host, box, wait_until):
    box.send("text", b"after")
    assert wait_until(lambda: box.blob("text-after"), 20, what="another function's message")
    assert box.texts("off") == ["stays"]
    assert "must not run" not in host.log
