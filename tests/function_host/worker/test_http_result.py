import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fnpack_host.worker.http_result import from_http_output, from_returned
from fnpack_host.worker.library import GENERIC

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
documents = st.recursive(
    scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8
)


def answer(text):
    return from_http_output(GENERIC.encode(text, expected_type=None))


@given(st.text())
def test_any_text_is_an_answer(text):
    response = answer(text)
    assert response.status >= 100 or "status" in text.lower()
    assert isinstance(response.body, bytes)


@given(st.dictionaries(st.text(), documents).filter(lambda d: "body" not in {key.lower() for key in d}))
def test_a_json_object_keeps_its_value(document):
    response = answer(json.dumps(document))
    assert response.status == 200
    assert json.loads(response.body) == json.loads(json.dumps(document).encode("utf-8", "replace"))


@pytest.mark.parametrize(
    ("text", "body"),
    [
        ("null", b""),
        ("true", b"True"),
        ("1.50", b"1.5"),
        ("[]", b"[]"),
        ("{}", b"{}"),
        ('[1, {"a": null}]', b'[\n  1,\n  {\n    "a": null\n  }\n]'),
        ('{"body": null}', b""),
        ('{"Body": "text", "StatusCode": 201}', b"text"),
        ('{"body": [1, 2]}', b"[1,2]"),
        ("[" * 100_000, b"[" * 100_000),
        ("2020-01-01", b"2020-01-01"),
        ("", b""),
    ],
)
def test_json_texts_are_written_as_azures_host_writes_them(text, body):
    assert answer(text).body == body


@pytest.mark.parametrize("given", ["x", None, [], {}, 1e400])
def test_a_status_that_is_none_is_200(given):
    assert answer(json.dumps({"body": "", "status": given})).status == 200


def test_a_value_for_another_binding_is_shown_as_it_is():
    assert from_returned(GENERIC.encode('{"body": "x"}', expected_type=None)).body == b'{"body": "x"}'
    assert (
        from_returned(GENERIC.encode(b"\xff", expected_type=None)).content_type == "application/octet-stream"
    )
    assert from_returned(GENERIC.encode(None, expected_type=None)).status == 204
