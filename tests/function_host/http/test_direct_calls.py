"""Calls that the front answers without a task: from the second for a path on. They must not differ from the first."""

import asyncio
import json
import re
import socket
import time
from contextlib import closing

import pytest

from fnpack_host.app.function_app import FunctionApp
from fnpack_host.host import Host, HostOptions
from fnpack_host.invoker import Invoker
from fnpack_host.settings import Settings
from fnpack_host.worker.protocol import Frame, Kind

SCRIPT = """
import json, os, time
from azureml.contrib.services.aml_response import AMLResponse
def init(): pass
def run(data):
    given = json.loads(data)
    if given == "raise": raise ValueError("no such row")
    if given == "end": os._exit(3)
    if given == "wait": time.sleep(1)
    if given == "answer": return AMLResponse("made", 201, {"x-made": "yes", "content-length": "1"})
    if given == "nothing": return AMLResponse("", 204)
    if given == "large": return "y" * 300_000
    return given
"""
FUNCTION = """
import azure.functions as func
def main(req: func.HttpRequest) -> func.HttpResponse:
    text = f"{req.method} {req.get_body()!r} {dict(req.params)} {req.url.partition('/api/')[2]}"
    return func.HttpResponse(text, status_code=int(req.params.get("status", 200)), headers={"x-given": "1"})
"""
BINDINGS = json.dumps(
    {
        "bindings": [
            {"type": "httpTrigger", "direction": "in", "name": "req", "authLevel": "anonymous"},
            {"type": "http", "direction": "out", "name": "$return"},
        ]
    }
)
VARYING = re.compile(rb"(?:date|x-request-id|x-ms-request-id|x-ms-run-fn-exec-ms): [^\r]*\r\n")


def request(path, body, version="1.1", more=b""):
    head = f"POST {path} HTTP/{version}\r\nhost: localhost\r\ncontent-length: {len(body)}\r\n"
    return head.encode() + more + b"\r\n" + body


def exchange(url, data, pieces=1):
    """Everything that the server says until it closes, or has answered and is quiet."""
    with closing(socket.create_connection(("127.0.0.1", int(url.rsplit(":", 1)[1])), 10)) as connection:
        step = -(-len(data) // pieces)
        for start in range(0, len(data), step):
            connection.sendall(data[start : start + step])
            time.sleep(0.05 if pieces > 1 else 0)  # so that they do not travel together
        received = b""
        while not is_whole(received) and (piece := connection.recv(65536)):
            received += piece
    return VARYING.sub(b"", received)


def is_whole(received):
    head, end, body = received.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head)
    return bool(end) and len(body) >= (int(length[1]) if length else 0)


@pytest.fixture(scope="module")
def scored(scoring_host):
    return scoring_host(SCRIPT)


@pytest.fixture(scope="module")
def function(host_of):
    return host_of({"f/function.json": BINDINGS, "f/__init__.py": FUNCTION})


@pytest.mark.parametrize("path", ["/score", "/api/score"])
@pytest.mark.parametrize("value", ["text", [1, 2], "raise", "answer", "nothing", "large", "end"])
def test_second_call_of_a_script_is_answered_as_the_first(scored, path, value):
    body = json.dumps(value).encode()
    fresh = exchange(scored.url, request(f"{path}?n=1", body), pieces=2)  # in pieces: always with a task
    assert fresh.startswith(b"HTTP/1.1 ")
    if value == "end":
        wait_for_worker(scored)
    direct = [exchange(scored.url, request(f"{path}?n=1", body)) for _ in range(2 if value != "end" else 1)]
    assert set(direct) == {fresh}
    if value == "end":
        wait_for_worker(scored)


def wait_for_worker(host):
    assert exchange(host.url, request("/api/score", b"1")).endswith(b"1")


@pytest.mark.parametrize("query", ["", "?a=1&b=%20", "?status=404", "?status=204"])
def test_second_call_of_a_function_is_answered_as_the_first(function, query):
    data = request(f"/api/f{query}", b"body")
    fresh = exchange(function.url, data, pieces=2)
    assert b"x-given: 1" in fresh
    assert {exchange(function.url, data) for _ in range(2)} == {fresh}


@pytest.mark.parametrize(
    ("data", "ending"),
    [
        (request("/api/f", b"", more=b"connection: close\r\n"), b"connection: close"),
        (request("/api/f", b"", version="1.0"), b"connection: close"),
        (b"POST /api/f HTTP/1.1\r\ncontent-length: 0\r\n\r\n", b"HTTP/1.1 400"),  # no host
        (request("/api/f", b"", more=b"transfer-encoding: chunked\r\n"), b"HTTP/1.1 400"),
    ],
)
def test_what_ends_a_connection_ends_that_of_a_direct_call(function, data, ending):
    exchange(function.url, request("/api/f", b""))
    with closing(
        socket.create_connection(("127.0.0.1", int(function.url.rsplit(":", 1)[1])), 10)
    ) as connection:
        connection.sendall(data)
        received = b"".join(iter(lambda: connection.recv(65536), b""))
    assert ending in received


def test_client_that_leaves_disturbs_nobody(scored):
    wait_for_worker(scored)
    for _ in range(3):
        with closing(
            socket.create_connection(("127.0.0.1", int(scored.url.rsplit(":", 1)[1])), 10)
        ) as connection:
            connection.sendall(request("/api/score", b'"wait"'))
    wait_for_worker(scored)
    assert "Exception in" not in scored.log


async def test_only_what_needs_no_waiting_is_taken(app_of, monkeypatch):
    """In this process, to see which requests are taken."""
    root = app_of({"f/function.json": BINDINGS, "f/__init__.py": FUNCTION})
    settings = Settings({"FUNCTIONS_REQUEST_BODY_SIZE_LIMIT": "10"})
    host = Host(FunctionApp.load(root, settings), HostOptions(port=0))
    await host.start()
    try:
        url = host.base_url
        answers = asyncio.Queue()

        def take(path, body=b""):
            scope = {
                "type": "http", "method": "POST", "raw_path": path, "path": path.decode(), "scheme": "http",
                "query_string": b"", "headers": [(b"host", b"x")], "http_version": "1.1",
            }  # fmt: skip
            return host._take(scope, body, answers.put_nowait)

        assert not take(b"/api/f")
        await asyncio.to_thread(exchange, url, request("/api/f", b"x"))
        assert take(b"/api/f", b"x" * 10)
        assert (await asyncio.wait_for(answers.get(), 10)).status == 200
        assert not take(b"/api/f", b"x" * 11)
        assert not take(b"/api/g")
        broken = Frame(Kind.RESULT, 1, {"status": 200}, b"")  # no worker of ours says that
        monkeypatch.setattr(Invoker, "start", lambda self, function, call, done: done(broken))
        assert take(b"/api/f")
        assert answers.get_nowait().status == 500
        host._http.front.ready = False
        assert not take(b"/api/f")
    finally:
        await host.stop()
    assert answers.empty()
