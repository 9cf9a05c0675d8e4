"""What a function returns or sets becomes the response: every row of the result table, through the real host."""

import json

import pytest

TRIGGER = '{"type": "httpTrigger", "direction": "in", "name": "req", "authLevel": "anonymous"}'
RETURN = '{"type": "http", "direction": "out", "name": "$return"}'
OUT = '{"type": "http", "direction": "out", "name": "response"}'
NO_RETURN = f'{{"bindings": [{TRIGGER}]}}'
WITH_RETURN = f'{{"bindings": [{TRIGGER}, {RETURN}]}}'
WITH_OUT = f'{{"bindings": [{TRIGGER}, {OUT}]}}'
TEXT = "text/plain; charset=utf-8"


def returning(expression: str, *, is_async: bool = False) -> str:
    define = "async def" if is_async else "def"
    return f"import azure.functions as func\n{define} main(req):\n    return {expression}\n"


FUNCTIONS = {
    "response": (WITH_RETURN, returning("func.HttpResponse('<b>\\u2122</b>', mimetype='text/html')")),
    "created": (
        WITH_RETURN,
        returning(
            "func.HttpResponse(b'\\x00\\xff', status_code=201, headers={'X-A': 'b', 'Content-Type': 'x/y'})"
        ),
    ),
    "bodiless": (WITH_RETURN, returning("func.HttpResponse()")),
    "cookies": (
        WITH_RETURN,
        """
        import azure.functions as func
        def main(req):
            response = func.HttpResponse("ok")
            response.headers.add("Set-Cookie", "a=1; Max-Age=60; Path=/; HttpOnly")
            response.headers.add("Set-Cookie", "b=2; Secure; SameSite=Lax")
            return response
        """,
    ),
    "text": (WITH_RETURN, returning("'Hello World!'")),
    "text-async": (WITH_RETURN, returning("'Hello Async World!'", is_async=True)),
    "json-object": (WITH_RETURN, returning("""'{"a": [1, "\\u00e9"], "b": {}}'""")),
    "json-number": (WITH_RETURN, returning("'42'")),
    "json-text": (WITH_RETURN, returning("""'"quoted"'""")),
    "response-object": (
        WITH_RETURN,
        returning(
            """'{"Status": "202", "headers": {"Content-Type": "app/x", "X-B": 7}, "body": {"a": [1]}}'"""
        ),
    ),
    "nothing": (NO_RETURN, returning("None")),
    "nothing-for-return": (WITH_RETURN, returning("None")),
    "value-without-return": (NO_RETURN, returning("'x'")),
    "bytes": (WITH_RETURN, returning("b'x'")),
    "dict": (WITH_RETURN, returning("{'a': 1}")),
    "out-set": (
        WITH_OUT,
        """
        import azure.functions as func
        def main(req, response: func.Out[func.HttpResponse]) -> None:
            response.set(func.HttpResponse("hello", status_code=201))
        """,
    ),
    "out-text": (
        WITH_OUT,
        "import azure.functions as func\ndef main(req, response: func.Out[str]): response.set('plain')\n",
    ),
    "out-unset": (WITH_OUT, "def main(req, response): pass\n"),
    "raises": (WITH_RETURN, "def main(req):\n    raise ValueError('sesame')\n"),
    "raises-async": (WITH_RETURN, "async def main(req):\n    raise KeyError('lock')\n"),
    "stops": (WITH_RETURN, "def main(req):\n    return next(iter(()))\n"),
    "stops-async": (WITH_RETURN, "async def main(req):\n    return next(iter(()))\n"),
    "cancels": (WITH_RETURN, "import asyncio\nasync def main(req):\n    raise asyncio.CancelledError\n"),
    "exits": (WITH_RETURN, "def main(req):\n    raise SystemExit(9)\n"),
    "raises-unprintable": (
        WITH_RETURN,
        """
        class Odd(Exception):
            def __str__(self): raise RuntimeError("no text")
        def main(req): raise Odd()
        """,
    ),
    "broken": (WITH_RETURN, "import no_such_package_anywhere\n"),
}


@pytest.fixture(scope="module")
def host(host_of):
    files = {}
    for name, (definition, script) in FUNCTIONS.items():
        files |= {f"{name}/function.json": definition, f"{name}/__init__.py": script}
    return host_of(files)


@pytest.mark.parametrize(
    ("name", "status", "body", "content_type"),
    [
        ("response", 200, "<b>\u2122</b>".encode(), "text/html; charset=utf-8"),
        ("created", 201, b"\x00\xff", "x/y"),
        ("bodiless", 200, b"", TEXT),
        ("text", 200, b"Hello World!", TEXT),
        ("text-async", 200, b"Hello Async World!", TEXT),
        ("json-number", 200, b"42", TEXT),
        ("json-text", 200, b"quoted", TEXT),
        ("response-object", 202, b'{"a":[1]}', "app/x"),
        ("nothing", 204, b"", None),
        ("nothing-for-return", 500, b"", None),
        ("value-without-return", 500, b"", None),
        ("bytes", 500, b"", None),
        ("dict", 500, b"", None),
        ("out-set", 201, b"hello", TEXT),
        ("out-text", 200, b"plain", TEXT),
        ("out-unset", 204, b"", None),
        ("raises", 500, b"", None),
        ("raises-async", 500, b"", None),
        ("exits", 500, b"", None),
        ("stops", 500, b"", None),
        ("stops-async", 500, b"", None),
        ("cancels", 500, b"", None),
        ("raises-unprintable", 500, b"", None),
        ("broken", 500, b"", None),
    ],
)
def test_result_becomes_the_response(host, name, status, body, content_type):
    answer = host.call(f"/api/{name}", b"x")
    assert (answer[0], answer[1], answer[2]["content-type"]) == (status, body, content_type)


def test_text_that_is_json_is_written_anew_and_indented(host):
    status, body, headers = host.call("/api/json-object", b"x")
    assert (status, headers["content-type"]) == (200, TEXT)
    assert body.decode() == json.dumps({"a": [1, "\u00e9"], "b": {}}, indent=2, ensure_ascii=False)


def test_headers_of_a_response_object_and_of_a_response(host):
    assert host.call("/api/response-object", b"x")[2]["x-b"] == "7"
    assert host.call("/api/created", b"x")[2]["x-a"] == "b"


def test_every_cookie_is_a_header_of_its_own(host):
    cookies = host.call("/api/cookies", b"x")[2].get_all("set-cookie")
    assert [cookie.split(";")[0] for cookie in cookies] == ["a=1", "b=2"]
    assert "HttpOnly" in cookies[0]
    assert "SameSite=Lax" in cookies[1]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("raises", "ValueError: sesame"),
        ("raises-async", "KeyError: 'lock'"),
        ("nothing-for-return", "$return: a http binding cannot take a NoneType"),
        ("value-without-return", "without a $return binding returned a non-None value"),
        ("raises-unprintable", "Odd (its text cannot be read)"),
        ("broken", "could not be loaded: ModuleNotFoundError: No module named 'no_such_package_anywhere'"),
    ],
)
def test_why_it_failed_is_in_the_log_only(host, name, says):
    assert host.call(f"/api/{name}", b"x")[:2] == (500, b"")
    host.wait_log(says)
