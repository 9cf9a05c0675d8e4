"""Binding expressions: grammar, built-ins, and settings."""

from __future__ import annotations

import re
from datetime import datetime, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fnpack_triggers.base import Json
from fnpack_triggers.dotnet_formats import format_datetime
from fnpack_triggers.errors import PatternError
from fnpack_triggers.expressions import Template, resolve_settings

MOMENT = datetime(2026, 3, 7, 14, 5, 9, 120_000, tzinfo=timezone.utc)


def test_names_are_looked_up_in_any_case() -> None:
    assert Template.parse("{BlobName}_out").render({"blobname": "a"}) == "a_out"


def test_doubled_braces_stand_for_one() -> None:
    assert Template.parse("{{{a}}}-{{}}").render({"a": "x"}) == "{x}-{}"


def test_dots_go_into_objects_in_any_case() -> None:
    data: dict[str, Json] = {"query": {"User": {"Id": 7}}}
    assert Template.parse("{Query.user.ID}").render(data) == "7"


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("a{b", 1),
        ("a}b", 1),
        ("{}", 0),
        ("{a{b}", 0),
        ("x{1a}", 1),
        ("{a-b}", 0),
        ("{a..b}", 0),
        ("{a b}", 0),
    ],
)
def test_what_is_no_expression_is_refused_with_its_position(text: str, position: int) -> None:
    with pytest.raises(PatternError) as caught:
        Template.parse(text)
    assert caught.value.position == position


def test_a_name_that_no_data_has_is_an_error() -> None:
    template = Template.parse("{a}-{b}")
    with pytest.raises(PatternError, match="nothing is named `b` at character 5"):
        template.render({"a": "1"})


def test_check_offers_the_name_that_was_meant() -> None:
    with pytest.raises(PatternError) as caught:
        Template.parse("out/{blobnme}").check(["BlobName", "Uri"])
    assert caught.value.hint == "did you mean `BlobName`?"


def test_names_are_those_of_the_data_without_builtins() -> None:
    assert Template.parse("{a.b}{A}{rand-guid}{datetime:yyyy}{c}").names == ("a", "c")


def test_data_wins_over_builtins() -> None:
    assert Template.parse("{datetime}").render({"DateTime": "mine"}) == "mine"


def test_a_list_or_an_object_is_no_text() -> None:
    values: list[Json] = [[1], {"a": "b"}]
    for value in values:
        with pytest.raises(PatternError, match="not a text"):
            Template.parse("{a}").render({"a": value})


def test_each_guid_is_new_and_follows_its_format() -> None:
    first, second, bare = Template.parse("{rand-guid} {rand-guid} {rand-guid:N}").render({}).split()
    assert first != second
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", first)
    assert re.fullmatch(r"[0-9a-f]{32}", bare)


def test_the_default_date_is_utc_without_colons() -> None:
    text = Template.parse("{DateTime}").render({})
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ", text)


@pytest.mark.parametrize("text", ["{datetime:Q}", "{rand-guid:Z}"])
def test_an_unknown_format_is_refused_at_parse_time(text: str) -> None:
    with pytest.raises(PatternError, match="is not a"):
        Template.parse(text)


@pytest.mark.parametrize(
    ("format_text", "expected"),
    [
        ("yyyy-MM-dd", "2026-03-07"),
        ("yyyy.MM.dd", "2026.03.07"),
        ("yy/M/d H:m:s", "26/3/7 14:5:9"),
        ("hh:mm tt", "02:05 PM"),
        ("ddd dddd MMM MMMM", "Sat Saturday Mar March"),
        ("ss.fff", "09.120"),
        ("ss.FFF", "09.12"),
        ("'yyyy' \\y %d", "yyyy y 7"),
        ("yyyyMMddTHHmmssK", "20260307T140509Z"),
        ("zzz", "+00:00"),
        ("o", "2026-03-07T14:05:09.1200000Z"),
        ("R", "Sat, 07 Mar 2026 14:05:09 GMT"),
        ("s", "2026-03-07T14:05:09"),
        ("d", "03/07/2026"),
    ],
)
def test_dotnet_date_formats(format_text: str, expected: str) -> None:
    assert format_datetime(MOMENT, format_text) == expected


@given(st.text(max_size=60))
def test_escaped_text_renders_to_itself(text: str) -> None:
    escaped = text.replace("{", "{{").replace("}", "}}")
    assert Template.parse(escaped).render({}) == text


@given(st.text(alphabet="a{}:.-_1 ", max_size=12))
def test_any_text_parses_or_is_refused_with_a_position_inside_it(text: str) -> None:
    try:
        Template.parse(text)
    except PatternError as error:
        assert 0 <= error.position < len(text)  # noqa: PT017 - either outcome is right


def test_settings_are_put_in_before_braces_are_read() -> None:
    settings = {"BOX": "in", "Deep__Key": "{name}"}
    assert resolve_settings("%box%/%deep:key%.json", settings) == "in/{name}.json"


@pytest.mark.parametrize("text", ["%a", "100%", "%%", "%nope%", "%a%%"])
def test_an_odd_percent_sign_or_a_missing_setting_is_refused(text: str) -> None:
    with pytest.raises(PatternError):
        resolve_settings(text, {"a": "1"})
