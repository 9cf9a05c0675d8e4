"""The apps of Azure Functions' Python tutorials, in both models, followed as a new user follows them.

Each app is what the tutorial's tool writes (host.json, local.settings.json, a function per folder or function_app.py)
with the storage names made unique; each test does what the tutorial tells its reader to do and see.
"""

from __future__ import annotations

import base64
import json
import uuid
from dataclasses import dataclass

import pytest
from azure.storage.blob import BlobServiceClient
from azure.storage.queue import QueueServiceClient

HOST_JSON = """
    {
      "version": "2.0",
      "logging": {
        "applicationInsights": {"samplingSettings": {"isEnabled": true, "excludedTypes": "Request"}}
      },
      "extensionBundle": {"id": "Microsoft.Azure.Functions.ExtensionBundle", "version": "[4.*, 5.0.0)"}
    }
"""


def bindings(*entries):
    """A function.json as `func new` writes it."""
    return json.dumps({"scriptFile": "__init__.py", "bindings": list(entries)}, indent=2)


def trigger(kind, name, **properties):
    return {"name": name, "type": kind, "direction": "in", **properties}


def out(kind, name, **properties):
    return {"name": name, "type": kind, "direction": "out", **properties}


HTTP_IN = trigger("httpTrigger", "req", authLevel="anonymous", methods=["get", "post"])
HTTP_OUT = out("http", "$return")
STORE = {"connection": "AzureWebJobsStorage"}

V1 = {
    "HttpExample/function.json": bindings(HTTP_IN, HTTP_OUT),
    "HttpExample/__init__.py": """
        import logging
        import azure.functions as func


        def main(req: func.HttpRequest) -> func.HttpResponse:
            logging.info("HTTP trigger got a request.")
            name = req.params.get("name")
            if not name:
                try:
                    body = req.get_json()
                except ValueError:
                    pass
                else:
                    name = body.get("name")
            if name:
                return func.HttpResponse(f"Hello, {name}. This function executed successfully.")
            return func.HttpResponse("This function executed successfully. Pass a name.", status_code=200)
    """,
    "HttpToQueue/function.json": bindings(
        HTTP_IN, out("queue", "msg", queueName="outqueue-BOX", **STORE), HTTP_OUT
    ),
    "HttpToQueue/__init__.py": """
        import azure.functions as func


        def main(req: func.HttpRequest, msg: func.Out[func.QueueMessage]) -> str:
            name = req.params.get("name") or req.get_json()["name"]
            msg.set(name)
            return func.HttpResponse(f"Hello {name}!")
    """,
    "HttpToBlob/function.json": bindings(
        HTTP_IN, out("blob", "outputblob", path="made-BOX/{rand-guid}.txt", **STORE), HTTP_OUT
    ),
    "HttpToBlob/__init__.py": """
        import azure.functions as func


        def main(req: func.HttpRequest, outputblob: func.Out[str]) -> func.HttpResponse:
            outputblob.set(req.get_body().decode())
            return func.HttpResponse("kept", status_code=201)
    """,
    "BlobCopy/function.json": bindings(
        trigger("blobTrigger", "myblob", path="samples-BOX/{name}", **STORE),
        out("blob", "outputblob", path="copies-BOX/{name}", **STORE),
    ),
    "BlobCopy/__init__.py": """
        import logging
        import azure.functions as func


        def main(myblob: func.InputStream, outputblob: func.Out[bytes]) -> None:
            logging.info("Python blob trigger function processed %s (%s bytes)", myblob.name, myblob.length)
            outputblob.set(myblob.read())
    """,
    "QueueToBlob/function.json": bindings(
        trigger("queueTrigger", "msg", queueName="work-BOX", **STORE),
        trigger("blob", "inputblob", path="samples-BOX/{queueTrigger}", **STORE),
        out("blob", "$return", path="made-BOX/{queueTrigger}-Copy", **STORE),
    ),
    "QueueToBlob/__init__.py": """
        import logging
        import azure.functions as func


        def main(msg: func.QueueMessage, inputblob: func.InputStream) -> str:
            logging.info("Python queue trigger function processed %s", msg.get_body().decode("utf-8"))
            return inputblob.read()
    """,
    "Clock/function.json": bindings(trigger("timerTrigger", "mytimer", schedule="*/1 * * * * *")),
    "Clock/__init__.py": """
        import datetime
        import logging
        import azure.functions as func


        def main(mytimer: func.TimerRequest) -> None:
            now = datetime.datetime.now(datetime.timezone.utc).isoformat()
            if mytimer.past_due:
                logging.info("The timer is past due!")
            logging.info("Python timer trigger function ran at %s", now)
    """,
}

V2 = {
    "function_app.py": """
        import datetime
        import logging
        import azure.functions as func

        app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)


        @app.route(route="HttpExample")
        def HttpExample(req: func.HttpRequest) -> func.HttpResponse:
            logging.info("HTTP trigger got a request.")
            name = req.params.get("name")
            if not name:
                try:
                    name = req.get_json().get("name")
                except ValueError:
                    pass
            if name:
                return func.HttpResponse(f"Hello, {name}. This function executed successfully.")
            return func.HttpResponse("This function executed successfully. Pass a name.", status_code=200)


        @app.function_name(name="HttpToQueue")
        @app.route(route="HttpToQueue")
        @app.queue_output(arg_name="msg", queue_name="outqueue-BOX", connection="AzureWebJobsStorage")
        def to_queue(req: func.HttpRequest, msg: func.Out[func.QueueMessage]) -> func.HttpResponse:
            name = req.params.get("name") or req.get_json()["name"]
            msg.set(name)
            return func.HttpResponse(f"Hello {name}!")


        @app.route(route="HttpToBlob", methods=["POST"])
        @app.blob_output(arg_name="outputblob", path="made-BOX/{rand-guid}.txt", connection="AzureWebJobsStorage")
        def to_blob(req: func.HttpRequest, outputblob: func.Out[str]) -> func.HttpResponse:
            outputblob.set(req.get_body().decode())
            return func.HttpResponse("kept", status_code=201)


        @app.function_name(name="BlobCopy")
        @app.blob_trigger(arg_name="myblob", path="samples-BOX/{name}", connection="AzureWebJobsStorage")
        @app.blob_output(arg_name="outputblob", path="copies-BOX/{name}", connection="AzureWebJobsStorage")
        def copy(myblob: func.InputStream, outputblob: func.Out[bytes]):
            logging.info(f"Python blob trigger function processed {myblob.name} ({myblob.length} bytes)")
            outputblob.set(myblob.read())


        @app.function_name(name="QueueToBlob")
        @app.queue_trigger(arg_name="msg", queue_name="work-BOX", connection="AzureWebJobsStorage")
        @app.blob_input(arg_name="inputblob", path="samples-BOX/{queueTrigger}", connection="AzureWebJobsStorage")
        @app.blob_output(arg_name="outputblob", path="made-BOX/{queueTrigger}-Copy",
                         connection="AzureWebJobsStorage")
        def from_queue(msg: func.QueueMessage, inputblob: str, outputblob: func.Out[str]):
            logging.info("Python queue trigger function processed %s", msg.get_body().decode("utf-8"))
            outputblob.set(inputblob)


        @app.function_name(name="Clock")
        @app.schedule(schedule="*/1 * * * * *", arg_name="mytimer", run_on_startup=True, use_monitor=False)
        def clock(mytimer: func.TimerRequest) -> None:
            if mytimer.past_due:
                logging.info("The timer is past due!")
            logging.info("Python timer trigger function ran at %s", datetime.datetime.now())
    """
}


@dataclass
class Tutorial:
    """A running app, and the storage beside it."""

    host: object
    blobs: BlobServiceClient
    queues: QueueServiceClient
    box: str

    def blob(self, container, name):
        """A blob's content, or None while it is not there."""
        client = self.blobs.get_blob_client(f"{container}-{self.box}", name)
        return client.download_blob().readall() if client.exists() else None

    def upload(self, name, content):
        self.blobs.get_blob_client(f"samples-{self.box}", name).upload_blob(content)


@pytest.fixture(scope="module", params=["v1", "v2"])
def tutorial(request, host_of, azurite):
    box = uuid.uuid4().hex[:8]
    app = {name: text.replace("BOX", box) for name, text in (V1 if request.param == "v1" else V2).items()}
    values = {"FUNCTIONS_WORKER_RUNTIME": "python", "AzureWebJobsStorage": azurite.connection_string}
    settings = json.dumps({"IsEncrypted": False, "Values": values})
    blobs = BlobServiceClient.from_connection_string(azurite.connection_string)
    queues = QueueServiceClient.from_connection_string(azurite.connection_string)
    with blobs, queues:
        blobs.create_container(f"samples-{box}").close()
        queues.create_queue(f"work-{box}").close()
        host = host_of({**app, "host.json": HOST_JSON, "local.settings.json": settings})
        yield Tutorial(host, blobs, queues, box)


def test_http_function_greets_by_query_by_body_and_without_a_name(tutorial):
    call = tutorial.host.call
    assert call("/api/HttpExample?name=Functions", None)[:2] == (
        200,
        b"Hello, Functions. This function executed successfully.",
    )
    assert call("/api/httpexample", b'{"name": "Azure"}')[1].startswith(b"Hello, Azure.")
    assert call("/api/HttpExample", b"no json")[:2] == (
        200,
        b"This function executed successfully. Pass a name.",
    )
    tutorial.host.wait_log("HTTP trigger got a request.")


def test_output_binding_puts_the_name_into_the_queue(tutorial):
    assert tutorial.host.call("/api/HttpToQueue?name=Ada", None)[:2] == (200, b"Hello Ada!")
    (message,) = tutorial.queues.get_queue_client(f"outqueue-{tutorial.box}").peek_messages(5)
    assert base64.b64decode(message.content) == b"Ada"


def test_output_binding_writes_a_blob_of_a_new_name(tutorial):
    for text in (b"one", b"two"):
        assert tutorial.host.call("/api/HttpToBlob", text)[:2] == (201, b"kept")
    container = tutorial.blobs.get_container_client(f"made-{tutorial.box}")
    made = [name for name in container.list_blob_names() if name.endswith(".txt")]
    assert {container.download_blob(name).readall() for name in made} == {b"one", b"two"}
    container.close()


def test_uploaded_blob_is_copied(tutorial, wait_until):
    tutorial.upload("picture.bin", bytes(range(256)))
    wait_until(lambda: tutorial.blob("copies", "picture.bin"), 30, what="the copy")
    assert tutorial.blob("copies", "picture.bin") == bytes(range(256))
    tutorial.host.wait_log(f"processed samples-{tutorial.box}/picture.bin (256 bytes)")


def test_message_names_a_blob_that_is_copied(tutorial, wait_until):
    tutorial.upload("note.txt", "grün".encode())
    queue = tutorial.queues.get_queue_client(f"work-{tutorial.box}")
    queue.send_message(base64.b64encode(b"note.txt").decode())
    wait_until(lambda: tutorial.blob("made", "note.txt-Copy"), 30, what="the copy")
    assert tutorial.blob("made", "note.txt-Copy") == "grün".encode()
    tutorial.host.wait_log("Python queue trigger function processed note.txt")


def test_timer_ticks(tutorial):
    tutorial.host.wait_log("Python timer trigger function ran at 2")


def test_start_lists_every_function_with_its_address(tutorial):
    log = tutorial.host.log
    for line in (
        "HttpExample: [",
        f"{tutorial.host.url}/api/HttpExample",
        f"BlobCopy: blob samples-{tutorial.box}/{{name}} -> copies-{tutorial.box}/{{name}}",
        f"QueueToBlob: queue work-{tutorial.box} -> made-{tutorial.box}/{{queueTrigger}}-Copy",
    ):
        assert line in log
