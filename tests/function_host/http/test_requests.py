import asyncio
import gc
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fnpack_host.http.asgi import Response
from fnpack_host.http.body import SPOOL_FROM_BYTES, BodyTooLarge, ClientGone, read_body
from fnpack_host.http.gate import RequestGate
from fnpack_host.http.request import BadRequest, decoded_path, encoded_path, is_plain, query_of, url_of


@pytest.mark.parametrize(
    ("raw", "path", "in_url"),
    [
        (b"/api/a%20b", "/api/a b", "/api/a%20b"),
        (b"/api/%7Ex", "/api/~x", "/api/~x"),
        (b"/api/a%2Fb", "/api/a%2Fb", "/api/a%2Fb"),
        (b"/api/%c3%a4", "/api/ä", "/api/%C3%A4"),
        (b"/api/%ff", "/api/%FF", "/api/%FF"),
        (b"/api/%zz%2", "/api/%zz%2", "/api/%25zz%252"),
        (b"/api/./a/../b", "/api/b", "/api/b"),
        (b"/api/%2e%2e/b", "/b", "/b"),
        (b"/../../b/..", "/", "/"),
        (b"/api/.hidden", "/api/.hidden", "/api/.hidden"),
        (b'/api/"x|', '/api/"x|', "/api/%22x%7C"),
        (b"/a+b@c:d;e=1,2", "/a+b@c:d;e=1,2", "/a+b@c:d;e=1,2"),
    ],
)
def test_path_is_decoded_as_kestrel_does(raw, path, in_url):
    assert decoded_path(raw) == path
    assert encoded_path(path) == in_url


def test_null_in_a_path_and_a_path_without_slash_are_refused():
    for raw in (b"/a%00b", b"*", b""):
        with pytest.raises(BadRequest):
            decoded_path(raw)


@given(st.binary(max_size=40))
def test_any_path_is_decoded_to_one_that_begins_with_a_slash(raw):
    try:
        path = decoded_path(b"/" + raw)
    except BadRequest:
        assert b"%00" in raw or b"\0" in raw
        return
    assert path.startswith("/")
    assert "/../" not in path
    assert encoded_path(path).isascii()
    if is_plain(b"/" + raw):
        assert path.encode() == b"/" + raw


@pytest.mark.parametrize(
    ("query", "values"),
    [
        (b"a=1&b=2", {"a": "1", "b": "2"}),
        (b"a=1&A=2&a=3", {"a": "1,2,3"}),
        (b"a=&b&c=1", {"c": "1"}),
        (b"a=&a=1", {"a": ",1"}),
        (b"a=x+y%2Bz", {"a": "x y+z"}),
        (b"&&=v&a=1=2", {"": "v", "a": "1=2"}),
        (b"a=%ff%C3%A4", {"a": "%FFä"}),
    ],
)
def test_query_values_are_joined_and_empty_ones_dropped(query, values):
    assert query_of(query) == values


@pytest.mark.parametrize("host", ["a b", "a/b", "a?b", "a,b", "a@b", "[::1", "x:y", "a:123456", "ä"])
def test_host_that_is_none_is_refused(host):
    with pytest.raises(BadRequest):
        url_of({"query_string": b"", "scheme": "http", "raw_path": b"/"}, host)


@pytest.mark.parametrize(
    "host", ["localhost:7071", "a.example", "[::1]:80", "[fe80::1%eth0]", "10.0.0.1", ""]
)
def test_host_and_query_are_part_of_the_url(host):
    scope = {"query_string": b"a=%20&b", "scheme": "https", "raw_path": b"/x/./%79"}
    assert url_of(scope, host) == f"https://{host}/x/y?a=%20&b"


def body_of(*pieces, gone=False):
    messages = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    messages.append(
        {"type": "http.disconnect"} if gone else {"type": "http.request", "body": b"", "more_body": False}
    )

    async def receive():
        return messages.pop(0)

    return receive


@pytest.mark.parametrize("announced", [True, False])
@pytest.mark.parametrize("size", [0, 10, SPOOL_FROM_BYTES, SPOOL_FROM_BYTES + 1, 3 * SPOOL_FROM_BYTES + 7])
async def test_body_comes_whole_from_memory_or_file(size, announced):
    content = os.urandom(size)
    pieces = [content[start : start + 65536] for start in range(0, size, 65536)]
    body = await read_body(str(size) if announced else "", body_of(*pieces), 10**8)
    assert body == content
    assert isinstance(body, memoryview) == (size > SPOOL_FROM_BYTES)


def open_files():
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_spool_leaves_no_file_open_once_the_body_is_let_go():
    before = open_files()
    body = await read_body("", body_of(*[b"x" * 65536] * 40), 10**8)
    assert len(body) == 40 * 65536
    del body
    gc.collect()
    assert open_files() <= before


async def test_body_of_a_client_that_left_never_reaches_a_function():
    with pytest.raises(ClientGone):
        await read_body("", body_of(b"half of", gone=True), 100)


@pytest.mark.parametrize("announced", [True, False])
async def test_body_over_the_limit_is_refused_before_it_is_kept(announced):
    with pytest.raises(BodyTooLarge):
        await read_body("101" if announced else "", body_of(b"x" * 50, b"x" * 50, b"x"), 100)


async def test_read_only_file_system_spools_to_memory(monkeypatch):
    def refuse(**_):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    content = b"x" * (2 * SPOOL_FROM_BYTES)
    assert await read_body("", body_of(content[:1000], content[1000:]), 10**8) == content


async def test_gate_runs_so_many_and_refuses_what_is_over():
    gate = RequestGate(running=2, outstanding=3)
    assert await gate.enter()
    assert await gate.enter()
    third = asyncio.create_task(gate.enter())
    await asyncio.sleep(0)
    assert not third.done()
    assert not await gate.enter()
    gate.leave()
    assert await third
    assert gate.outstanding == 2
    gate.leave()
    gate.leave()
    assert gate.outstanding == 0


async def test_request_that_is_cancelled_leaves_the_line():
    gate = RequestGate(running=1)
    await gate.enter()
    waiting = [asyncio.create_task(gate.enter()) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    await asyncio.sleep(0)
    gate.leave()  # to the second
    waiting[1].cancel()  # which is cancelled with the place in hand
    await asyncio.gather(*waiting[:2], return_exceptions=True)
    assert await waiting[2]
    gate.leave()
    assert gate.outstanding == 0


@given(st.integers(-10, 1000), st.dictionaries(st.text(), st.text()), st.text(), st.lists(st.text()))
def test_response_of_user_code_cannot_break_the_framing(status, headers, content_type, cookies):
    facts = {"status": status, "type": content_type, "headers": headers, "cookies": cookies}
    response = Response.of_facts(facts, b"body")
    assert 200 <= response.status <= 599
    assert [value for name, value in response.headers if name == b"content-length"] in (
        [],
        [b"%d" % len(response.body)],
    )
    assert (response.status in (204, 205, 304)) <= (response.body == b"")
    for name, value in response.headers:
        assert name
        assert not set(name) & set(b"\r\n: \0")
        assert not set(value) & set(b"\r\n\0")
