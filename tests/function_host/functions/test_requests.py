"""What an HTTP function gets: the request, byte by byte."""

import hashlib
import json
import os

import pytest

DEFINITION = """{"bindings": [
    {"type": "httpTrigger", "direction": "in", "name": "req", "authLevel": "anonymous", "route": "%s"},
    {"type": "http", "direction": "out", "name": "$return"}
]}"""
FILES = {
    "show/function.json": DEFINITION % "show/{first}/{*rest}",
    "show/__init__.py": """
        import hashlib, json
        import azure.functions as func
        def main(req: func.HttpRequest) -> func.HttpResponse:
            return func.HttpResponse(json.dumps({
                "method": req.method, "url": req.url, "headers": dict(req.headers), "params": dict(req.params),
                "route": dict(req.route_params), "hash": hashlib.sha256(req.get_body()).hexdigest(),
            }))
    """,
    "json/function.json": DEFINITION % "json",
    "json/__init__.py": "def main(req): return str(req.get_json()['a'])\n",
    "form/function.json": DEFINITION % "form",
    "form/__init__.py": "def main(req): return req.form['key'] + req.files['up'].read().decode()\n",
    "echo/function.json": DEFINITION % "echo",
    "echo/__init__.py": """
        import azure.functions as func
        def main(req): return func.HttpResponse(req.get_body(), headers={"body-len": str(len(req.get_body()))})
    """,
}


@pytest.fixture(scope="module")
def host(host_of):
    return host_of(FILES)


def test_request_arrives_whole(host):
    body = b'{"foo":  "bar", "two":  4}\x00\xff'
    headers = {"XXX": "zzz", "Max-Forwards": "10", "Content-Type": "application/json"}
    answer = host.call("/api/show/one/two/three?a=1&b=%3A%25)&empty=&A=2&c=x&c=y", body, headers=headers)
    seen = json.loads(answer[1])
    assert seen["method"] == "POST"
    assert seen["url"].startswith(host.url + "/api/show/one/two/three?a=1")
    assert (seen["headers"]["xxx"], seen["headers"]["max-forwards"]) == ("zzz", "10")
    assert seen["params"] == {"a": "1,2", "b": ":%)", "c": "x,y"}
    assert seen["route"] == {"first": "one", "rest": "two/three"}
    assert seen["hash"] == hashlib.sha256(body).hexdigest()


def test_json_and_form_bodies_are_read_by_the_library(host):
    assert host.call("/api/json", b'{"a": "\xc3\xa9"}')[1] == "\u00e9".encode()
    assert host.call("/api/json", b"no json")[0] == 500
    part = '--b\r\nContent-Disposition: form-data; name="{}"{}\r\n\r\n{}\r\n'
    body = part.format("key", "", "k") + part.format("up", '; filename="f"', "file") + "--b--\r\n"
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    assert host.call("/api/form", body.encode(), headers=headers)[:2] == (200, b"kfile")


@pytest.mark.parametrize("size", [0, 1, 5_000_000])
def test_body_of_any_size_comes_back(host, size):
    body = os.urandom(size)
    status, answer, headers = host.call("/api/echo", body)
    assert (status, answer, headers["body-len"]) == (200, body, str(size))
