"""Every row of docs/entry-scripts.md over HTTP: as SDK v1 when strict, and what fnpack does by default."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from sdk_v1_rows import ANY, ROWS, SEEN, VALUES, Answer, Row

AS_JSON = {"Content-Type": "application/json"}


def ask(host, row: Row):
    headers = {**row.headers, **({"Content-Type": row.content_type} if row.content_type else {})}
    return host.call(row.path, row.body, method=row.method, headers=headers)


def check(answer, expected: Answer) -> None:
    status, body, headers = answer
    assert status == expected.status, body
    if expected.body is ANY:
        assert isinstance(json.loads(body)["message"], str)
        return
    assert (body if isinstance(expected.body, bytes) else json.loads(body)) == expected.body
    assert headers.get("content-type", "") == expected.content_type
    for name, value in expected.headers.items():
        assert headers[name] == value, name


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_strict_answers_as_sdk_v1(scoring_host, row):
    expected = Answer(404, b"", "") if row.name == "unknown path" else row.sdk  # the host's, not the script's
    check(ask(scoring_host(row.script, strict=True), row), expected)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_default(scoring_host, row):
    check(ask(scoring_host(row.script), row), row.default or row.sdk)


def test_every_row_is_documented_and_every_documented_row_is_here():
    text = (Path(__file__).parents[3] / "docs" / "entry-scripts.md").read_text("utf-8")
    told = set(re.findall(r"^\| ([^|]+?) \|", text.split("## Row by row")[1].split("\n## ")[0], re.MULTILINE))
    assert told - {"row", "---"} == {row.name for row in ROWS}


@pytest.mark.parametrize(("strict", "body"), [(False, b"[1]"), (True, b'"[1]"')])
def test_azures_route_gives_text_as_text_unless_strict(scoring_host, strict, body):
    host = scoring_host(VALUES, strict=strict)
    assert host.call("/api/score", b"'[1]'", headers=AS_JSON)[:2] == (200, body)


def test_comma_in_a_headers_value_parts_several_headers(scoring_host):
    _, _, headers = scoring_host(VALUES).call("/score", b"AMLResponse('', 200, {'X-A': 'b, c'})")
    assert headers.get_all("x-a") == ["b", "c"]


def test_answers_say_how_long_run_took_and_who_answers(scoring_host):
    _, _, headers = scoring_host(SEEN).call("/score", b"x")
    assert re.fullmatch(r"\d+\.\d{3}", headers["x-ms-run-fn-exec-ms"])
    assert re.fullmatch(r"fnpack/\d+\.\d+\.\d+\S*", headers["x-ms-server-version"])


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"x-request-id": "r"}, {"x-request-id": "r", "x-ms-request-id": "r", "x-ms-client-request-id": None}),
        ({"x-request-id": "r", "x-ms-client-request-id": "c"}, {"x-ms-request-id": "c", "x-ms-client-request-id": "c"}),
        ({"x-ms-request-id": "o"}, {"x-ms-request-id": "o", "x-ms-client-request-id": "o"}),
        ({"x-ms-request-id": "o", "x-ms-client-request-id": "c"}, {"x-ms-request-id": "o"}),
        ({"TraceId": "t"}, {"traceid": "t"}),
        ({"x-request-id": "i" * 100}, {"x-request-id": "i" * 100}),
    ],
)  # fmt: skip
def test_request_ids_come_back(scoring_host, given, expected):
    _, _, headers = scoring_host(SEEN).call("/score", b"x", headers=given)
    assert {name: headers[name] for name in expected} == expected


def test_each_request_has_an_id_of_its_own(scoring_host):
    host = scoring_host(SEEN)
    ids = {host.call(path, None)[2]["x-request-id"] for path in ("/", "/score", "/swagger.json")}
    assert len(ids) == 3
    assert all(re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", one) for one in ids)


def test_log_line_has_method_path_status_time_and_bytes_and_no_key(scoring_host):
    host = scoring_host(SEEN)
    host.call("/score?a=1&code=secret", b"x")
    host.wait_log("POST /score?a=1&code=*** 200 ")
    assert re.search(r"POST /score\?a=1&code=\*\*\* 200 \d+\.\d{3}ms \d+\n", host.log)
    assert "secret" not in host.log


EXIT = """
import os
def init(): pass
def run(data):
    if data == "x": raise SystemExit(9)
    return os.getpid()
"""


def test_exit_in_run_ends_the_worker_only_when_strict(scoring_host):
    for strict, route, expected in (
        (False, "/score", b'{"message"'),
        (False, "/api/score", b'{"message"'),
        (True, "/score", b"<html>"),
        (True, "/api/score", b""),
    ):
        host = scoring_host(EXIT, strict=strict)
        before = host.call("/score", b"pid", headers=AS_JSON)[1]
        status, body, _ = host.call(route, b"x", headers=AS_JSON)
        assert status == 500
        assert body.startswith(expected)
        assert (host.call("/score", b"pid", headers=AS_JSON)[1] == before) is not strict
