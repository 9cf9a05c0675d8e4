import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fnpack_host.app.lenient_json import parse_json, read_json_object
from fnpack_host.errors import AppDirectoryError

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda v: st.lists(v) | st.dictionaries(st.text(), v),
)


@given(values)
def test_strict_json_reads_as_ever(value):
    assert parse_json(json.dumps(value)) == value
    assert parse_json(json.dumps(value, indent=1, ensure_ascii=False)) == value


@given(values)
def test_comments_and_trailing_commas_change_nothing(value):
    text = '\ufeff// first\n{ /* a\n b */ "v": ' + json.dumps(value) + ", // last\n }"
    assert parse_json(text) == {"v": value}


@given(st.text())
def test_any_text_is_read_or_refused_as_json(text):
    with contextlib.suppress(ValueError):  # of all exceptions, only this one
        parse_json(text)


def test_comment_marks_inside_strings_stay():
    assert parse_json('{"url": "http://x/*y*/", "a": ",]"}') == {"url": "http://x/*y*/", "a": ",]"}


def test_error_names_the_line_of_the_file(tmp_path):
    path = tmp_path / "function.json"
    path.write_text('{\n  // note\n  "a": 1\n  "b": 2\n}')
    with pytest.raises(AppDirectoryError, match=r"function\.json, line 4, column 3"):
        read_json_object(path)


def test_deep_nesting_is_refused_and_not_a_crash(tmp_path):
    path = tmp_path / "host.json"
    path.write_text("[" * 200_000)
    with pytest.raises(AppDirectoryError):
        read_json_object(path)
