"""Blob triggers and blob bindings of function apps, through the real host, against real storage."""

import json
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from azure.core.exceptions import ResourceNotFoundError
from azure.storage.blob import BlobServiceClient

HTTP = {"type": "httpTrigger", "direction": "in", "name": "req", "authLevel": "anonymous"}
RETURN = {"type": "http", "direction": "out", "name": "$return"}


def blob(direction, name, path, **more):
    return {"type": "blob", "direction": direction, "name": name, "path": path, "connection": "Store", **more}


def trigger(path, **more):
    return {"type": "blobTrigger", "name": "file", "path": path, "connection": "Store", **more}


def folder(name, bindings, script):
    return {f"{name}/function.json": json.dumps({"bindings": bindings}), f"{name}/__init__.py": script}


FILES = {
    **folder(
        "echo",
        [trigger("IN/echo/{name}.{ext}"), blob("out", "$return", "OUT/{name}.{ext}")],
        "def main(file): return file.read()\n",
    ),
    **folder(
        "facts",
        [trigger("IN/facts/{name}"), blob("out", "out", "OUT/facts-{name}")],
        """
        import json
        import azure.functions as func
        def main(file: func.InputStream, out: func.Out[str]) -> None:
            out.set(json.dumps([file.name, file.length, file.uri, file.metadata, file.blob_properties["ContentType"],
                                file.read(2).decode(), file.read().decode()]))
        """,
    ),
    **folder(
        "several",
        [
            trigger("IN/several/{name}"),
            blob("in", "beside", "IN/beside/{name}", dataType="binary"),
            blob("in", "absent", "IN/absent/{name}"),
            blob("out", "first", "OUT/first-{name}"),
            blob("out", "second", "OUT/second-{name}"),
            blob("out", "never", "OUT/never-{name}"),
            blob("out", "none", "OUT/none-{name}"),
        ],
        """
        import azure.functions as func
        async def main(file: bytes, beside: func.InputStream, absent, first: func.Out[bytes],
                       second: func.Out[func.InputStream], never: func.Out[str], none: func.Out[str]):
            assert isinstance(file, bytes)
            assert (beside.name, absent) == (None, None)
            first.set(file + beside.read())
            second.set(file)
            none.set(None)
        """,
    ),
    **folder(
        "text-type",
        [trigger("IN/text-type/{name}", dataType="string"), blob("out", "$return", "OUT/text-{name}")],
        "def main(file: str): return file\n",  # bytes all the same, as on Azure
    ),
    **folder("broken", [trigger("IN/broken/{name}")], "import no_such_package_anywhere\n"),
    **folder(
        "retried",
        [trigger("IN/retried/{name}"), blob("out", "$return", "OUT/retried-{name}")],
        """
        tries = 0
        def main(file):
            global tries
            tries += 1
            if tries < 3: raise RuntimeError("not yet")
            return str(tries)
        """,
    ),
    **folder(
        "put",
        [
            {**HTTP, "route": "put/{name}"},
            RETURN,
            blob("out", "out", "OUT/{name}-{kind}-{user.id}-{query.kind}-{headers.x-tag}"),
        ],
        """
        import azure.functions as func
        def main(req: func.HttpRequest, out: func.Out[bytes]) -> str:
            out.set(req.get_body())
            return "put"
        """,
    ),
    **folder(
        "put-return",
        [HTTP, blob("out", "$return", "OUT/%FOLDER%/{name}")],
        "def main(req): return 'FROM RETURN'\n",
    ),
    **folder(
        "get",
        [
            HTTP,
            RETURN,
            blob("in", "text", "IN/get/{name}"),
            blob("in", "binary", "IN/get/{name}", dataType="binary"),
            blob("in", "as_str", "IN/get/{name}"),
        ],
        """
        import json
        import azure.functions as func
        def main(req, text: func.InputStream, binary: func.InputStream, as_str: str) -> str:
            if binary is None:
                return func.HttpResponse(f"{text} {as_str}", status_code=404)
            return func.HttpResponse(json.dumps([text.read().hex(), binary.read().hex(), as_str]))
        """,
    ),
    **folder(
        "failing-output",
        [HTTP, RETURN, blob("out", "out", "OUT/{nothing_of_this}")],
        "import azure.functions as f\ndef main(req, out: f.Out[str]) -> str:\n    out.set('x')\n    return 'ok'\n",
    ),
    **folder(
        "failing-input",
        [HTTP, RETURN, blob("in", "given", "IN/{absent}")],
        "def main(req, given): return 'ok'\n",
    ),
    **folder(
        "none-for-return",
        [{**HTTP, "route": "none-for-return"}, blob("out", "$return", "OUT/none-for-return")],
        "def main(req): pass\n",
    ),
}
V2 = """
    import azure.functions as func
    app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)

    @app.blob_trigger(arg_name="file", path="IN/{name}.txt", connection="Store")
    @app.blob_output(arg_name="out", path="OUT/{name}.out", connection="Store")
    def upper(file: func.InputStream, out: func.Out[str]):
        out.set(file.read().decode().upper())

    @app.route(route="read/{name}")
    @app.blob_input(arg_name="given", path="IN/{name}", connection="Store", data_type=func.DataType.BINARY)
    async def read(req: func.HttpRequest, given: func.InputStream) -> func.HttpResponse:
        return func.HttpResponse(given.read() if given else b"none")
"""


class Store:
    def __init__(self, connection_string):
        self.service = BlobServiceClient.from_connection_string(connection_string)
        self.connection_string = connection_string
        self.source = f"in-{uuid.uuid4().hex}"
        self.target = f"out-{uuid.uuid4().hex}"
        self.service.create_container(self.source)

    def files(self, files):
        return {
            path: text.replace("IN/", f"{self.source}/").replace("OUT/", f"{self.target}/")
            for path, text in files.items()
        }

    def drop(self, name, data, **more):
        self.service.get_blob_client(self.source, name).upload_blob(data, **more)

    def read(self, name):
        try:
            return self.service.get_blob_client(self.target, name).download_blob().readall()
        except ResourceNotFoundError:
            return None

    def close(self):
        self.service.close()

    def properties(self, name):
        return self.service.get_blob_client(self.target, name).get_blob_properties()


@pytest.fixture(scope="module")
def store(azurite):
    with closing(Store(azurite.connection_string)) as one:
        yield one


@pytest.fixture(scope="module")
def host(host_of, store):
    settings = {
        "Store": store.connection_string,
        "AzureWebJobsStorage": store.connection_string,
        "FOLDER": "folder",
    }
    return host_of(store.files(FILES), {**settings, "AzureFunctionsWebHost__hostid": uuid.uuid4().hex})


def test_returned_bytes_become_the_output_blob(host, store, wait_until):
    store.drop("echo/a.b.bin", b"\x00\xff")
    assert wait_until(lambda: store.read("a.b.bin"), what="OUT/a.b.bin") == b"\x00\xff"
    properties = store.properties("a.b.bin")
    assert properties.content_settings.content_type == "application/octet-stream"
    parent = properties.metadata["AzureWebJobsParentId"]
    host.wait_log(f"echo {parent[:8]}: {store.source}/echo/a.b.bin -> {store.target}/a.b.bin")


def test_stream_of_a_trigger_has_name_length_uri_metadata_and_properties(host, store, wait_until):
    store.drop("facts/f", b"abcd", metadata={"color": "red"})
    seen = json.loads(wait_until(lambda: store.read("facts-f"), what="OUT/facts-f"))
    name, length, uri, metadata, content_type, head, rest = seen
    assert (name, length) == (f"{store.source}/facts/f", 4)
    assert uri.startswith("http")
    assert uri.endswith(f"/{store.source}/facts/f")
    assert (metadata, content_type) == ({"color": "red"}, "application/octet-stream")
    assert (head, rest) == ("ab", "cd")


def test_several_inputs_and_outputs_and_those_left_alone(host, store, wait_until):
    store.drop("beside/s", b"\xfe")
    store.drop("several/s", b"main ")
    assert wait_until(lambda: store.read("first-s"), what="OUT/first-s") == b"main \xfe"
    assert wait_until(lambda: store.read("second-s"), what="OUT/second-s") == b"main "
    host.wait_log(f"{store.source}/several/s -> {store.target}/first-s, {store.target}/second-s")
    assert store.read("never-s") is None
    assert store.read("none-s") is None


def test_blob_trigger_gives_bytes_whatever_its_data_type(host, store, wait_until):
    store.drop("text-type/t", b"\xff")
    assert wait_until(lambda: store.read("text-t"), what="OUT/text-t") == b"\xff"


def test_broken_function_has_no_listener(host, store, wait_until):
    store.drop("broken/b", b"x")
    store.drop("echo/after.broken", b"x")
    assert wait_until(lambda: store.read("after.broken"), what="OUT/after.broken")
    assert "function broken cannot run: ModuleNotFoundError" in host.log
    assert "/broken/b" not in host.log


def test_failed_function_is_tried_again_and_writes_nothing_before(host, store, wait_until):
    store.drop("retried/r", b"x")
    assert wait_until(lambda: store.read("retried-r"), what="OUT/retried-r") == b"3"
    assert host.log.count("RuntimeError: not yet") >= 2


def test_output_path_takes_query_body_and_headers_and_is_written_before_the_answer(host, store):
    body = b'{"name": "no, the route wins", "user": {"ID": 7}, "kind": "no, the query wins"}'
    answer = host.call("/api/put/n?kind=k", body, headers={"x-tag": "t", "Content-Type": "application/json"})
    assert answer[:2] == (200, b"put")
    assert store.read("n-k-7-k-t") == body


def test_blob_inputs_are_text_or_bytes_and_none_where_there_is_no_blob(host, store):
    store.drop("get/g", b"\xef\xbb\xbfa\xffb")
    text, binary, as_str = json.loads(host.call("/api/get?name=g", None)[1])
    assert bytes.fromhex(binary) == b"\xef\xbb\xbfa\xffb"
    assert bytes.fromhex(text).decode() == as_str == "a\ufffdb"
    assert host.call("/api/get?name=absent", None)[:2] == (404, b"None None")


def test_value_returned_to_a_blob_is_the_answer_too(host, store):
    answer = host.call("/api/put-return?name=returned", b"x")
    assert (answer[0], answer[1], answer[2]["content-type"]) == (
        200,
        b"FROM RETURN",
        "text/plain; charset=utf-8",
    )
    assert store.read("folder/returned") == b"FROM RETURN"


def test_failed_output_fails_the_invocation(host):
    assert host.call("/api/failing-output", b"x")[:2] == (500, b"")
    host.wait_log("nothing is named `nothing_of_this`")


def test_failed_input_fails_the_invocation(host):
    assert host.call("/api/failing-input", b"x")[:2] == (500, b"")
    host.wait_log("nothing is named `absent`")


def test_none_for_a_blob_return_fails_as_azures_converter_does(host):
    assert host.call("/api/none-for-return", b"x")[:2] == (500, b"")
    host.wait_log("$return: a blob binding cannot take a NoneType")


def test_decorated_functions_bind_blobs(app_of, start_host, azurite, wait_until):
    store = Store(azurite.connection_string)
    settings = {"Store": store.connection_string, "AzureWebJobsStorage": store.connection_string}
    app = app_of(store.files({"function_app.py": V2}))
    host = start_host(app, settings={**settings, "AzureFunctionsWebHost__hostid": uuid.uuid4().hex})
    store.drop("v.txt", b"words")
    assert wait_until(lambda: store.read("v.out"), what="OUT/v.out") == b"WORDS"
    assert f"upper: blob {store.source}/{{name}}.txt -> {store.target}/{{name}}.out" in host.log
    assert host.stop() == 0
    store.close()


def test_one_crash_does_not_lose_blobs(app_of, start_host, azurite, wait_until):
    store = Store(azurite.connection_string)
    script = """
        import os, time
        def main(file):
            time.sleep(0.1)
            if file.name.endswith("/3") and not os.path.exists("crashed"):
                open("crashed", "w").close()
                os._exit(9)
            return file.read()
    """
    files = folder("f", [trigger("IN/{name}"), blob("out", "$return", "OUT/{name}")], script)
    for number in range(8):
        store.drop(str(number), b"%d" % number)
    settings = {"Store": store.connection_string, "AzureWebJobsStorage": store.connection_string}
    start_host(
        app_of(store.files(files)), settings={**settings, "AzureFunctionsWebHost__hostid": uuid.uuid4().hex}
    )
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda n: wait_until(lambda: store.read(str(n)), 20), range(8)))
    assert found == [b"%d" % number for number in range(8)]
    store.close()
