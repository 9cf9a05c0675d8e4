"""Filters and actions: the common part of Microsoft's documented SQL grammar, and correlation filters."""

from __future__ import annotations

import contextlib
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fnpack.devbus.amqp.message import Message
from fnpack.devbus.amqp.types import Int, Symbol, Value
from fnpack.devbus.filters.action import parse_action
from fnpack.devbus.filters.correlation import CorrelationFilter
from fnpack.devbus.filters.sql import sql_filter
from fnpack.devbus.filters.sql_expressions import like
from fnpack.devbus.filters.sql_tokens import SqlFilterError

MESSAGE = (
    Message()
    .with_properties({"message_id": "m-1", "subject": "red", "correlation_id": "c", "group_id": "s"})
    .with_application(
        {
            "size": Int(10),
            "name": "O'Hara",
            "ratio": 2.5,
            "on": True,
            "none": None,
            "my prop": "x",
            Symbol("sym"): "y",
        }
    )
)


@pytest.mark.parametrize(
    "expression",
    [
        "1=1",
        "TRUE",
        "on",
        "on = TRUE",
        "NOT on = FALSE",
        "size = 10",
        "SIZE = 10",
        "user.size >= 10 AND size <= 10",
        "size > 9.5",
        "size <> 11 and size != 12",
        "size * 2 + 1 = 21",
        "size - 4 - 3 = 3",
        "size / 4 = 2",
        "size % 4 = 2",
        "-size < -(9)",
        "0x0A = size",
        "ratio * 2 = 5",
        "1e1 = size",
        "name = 'O''Hara'",
        "name LIKE 'O%a'",
        "name LIKE '_''____'",
        "name NOT LIKE 'o%'",
        "'50%' LIKE '50!%' ESCAPE '!'",
        "NOT '500' LIKE '50!%' ESCAPE '!'",
        "size IN (1, 10, 100)",
        "name NOT IN ('a', 'b')",
        "missing IS NULL",
        "none IS NULL",
        "size IS NOT NULL",
        "EXISTS(size)",
        "EXISTS(none)",
        "NOT EXISTS(missing)",
        "exists(sys.Label)",
        "sys.Label = 'red' AND sys.MessageId = 'm-1'",
        "sys.Subject='red' and sys.correlationid='c' and sys.SessionId = 's'",
        "[my prop] = 'x'",
        "\"my prop\" = 'x'",
        "p('my prop') = 'x'",
        "property('size') = 10",
        "'a' + 'b' = 'ab'",
        "size = 1 OR size = 2 OR (size = 10 AND NOT (name = 'x'))",
        "sym = 'y'",
        "NOT NOT on",
        "'b' > 'a'",
    ],
)
def test_a_message_passes(expression: str) -> None:
    assert sql_filter(expression).matches(MESSAGE)


@pytest.mark.parametrize(
    "expression",
    [
        "1=0",
        "FALSE",
        "NULL",
        "size",
        "size = '10'",
        "name = 5",
        "on = 1",
        "missing = 1",
        "missing <> 1",  # unknown is not true
        "NOT missing = 1",  # nor is its opposite
        "missing IN (1)",
        "missing NOT IN (1)",
        "missing LIKE '%'",
        "size NOT IN (NULL, 10)",
        "size / 0 = 1",
        "size % 0 = 1",
        "size + name = 1",
        "on AND missing = 1",
        "sys.Nothing = 'x'",
        "name = 'o''hara'",  # values are compared with regard to case
        "EXISTS(missing)",
        "-name = 1",
    ],
)
def test_a_message_does_not_pass(expression: str) -> None:
    assert not sql_filter(expression).matches(MESSAGE)


@pytest.mark.parametrize(
    ("expression", "position", "what"),
    [
        ("", 0, "a property name or a value"),
        ("size =", 6, "a property name or a value"),
        ("size = 1 AND", 12, "a property name or a value"),
        ("size = 'x", 7, "not closed"),
        ("size ? 1", 5, "means nothing"),
        ("(size = 1", 9, "is missing"),
        ("size = 1)", 8, "should end here"),
        ("size NOT 1", 9, "`IN` or `LIKE`"),
        ("size IS 1", 8, "`NULL`"),
        ("name LIKE 'x' ESCAPE 'xx'", 21, "one character"),
        ("@p = 1", 0, "parameter"),
        ("(" * 40 + "1=1" + ")" * 40, 33, "too deeply"),
        ("a" * 1025, 1024, "longer than 1024"),
    ],
)
def test_a_fault_says_where_it_is(expression: str, position: int, what: str) -> None:
    with pytest.raises(SqlFilterError, match=what) as caught:
        sql_filter(expression)
    assert caught.value.position == position


WORDS = [
    "size",
    "sys.Label",
    "'x'",
    "1",
    "(",
    ")",
    "AND",
    "OR",
    "NOT",
    "IN",
    "LIKE",
    "IS",
    "NULL",
    "=",
    "<",
    "+",
    "-",
    ",",
]
WORDS += ["EXISTS", "TRUE", "[q]", "%", "*", "/", ".", "'%x_'", "ESCAPE", "2.5", "p('a')", ";", "SET"]


@given(st.one_of(st.text(max_size=60), st.lists(st.sampled_from(WORDS), max_size=25).map(" ".join)))
def test_any_text_is_a_filter_or_a_fault(expression: str) -> None:
    with contextlib.suppress(SqlFilterError):
        sql_filter(expression).matches(MESSAGE)
    with contextlib.suppress(SqlFilterError):
        parse_action(expression)


@pytest.mark.parametrize("part", ["- ", "NOT ", "1+", "1=1 AND ", "1=1 OR ", "+"])
def test_a_long_chain_is_no_deep_recursion(part: str) -> None:
    expression = (part * (1000 // len(part))) + "1"
    sql_filter(expression).matches(MESSAGE)


@given(st.text("ab%_", max_size=12), st.text("ab", max_size=12))
def test_like_is_what_a_regular_expression_says(pattern: str, text: str) -> None:
    meant = "".join({"%": ".*", "_": "."}.get(char, char) for char in pattern)
    assert like(text, pattern, None) == (re.fullmatch(meant, text, re.DOTALL) is not None)


def test_a_hostile_pattern_takes_no_time() -> None:
    began = time.perf_counter()
    assert not like("a" * 5000, "%a" * 300 + "b", None)
    assert time.perf_counter() - began < 2


@pytest.mark.parametrize(
    ("system", "user", "passes"),
    [
        ({"Subject": "red"}, {}, True),
        ({"Label": "red", "MessageId": "m-1", "SessionId": "s"}, {"size": 10, "on": True}, True),
        ({"Subject": "Red"}, {}, False),
        ({}, {"size": 10.0}, True),
        ({}, {"size": "10"}, False),
        ({}, {"on": 1}, False),
        ({}, {"missing": "x"}, False),
        ({"To": "x"}, {}, False),
    ],
)
def test_a_correlation_filter_wants_every_value_exactly(
    system: dict[str, str], user: dict[str, Value], passes: bool
) -> None:
    assert CorrelationFilter(system, user).matches(MESSAGE) is passes


def test_an_action_sets_and_removes_properties_in_order() -> None:
    action = parse_action(
        "SET sys.Label = 'blue'; SET size = size + 1; SET SIZE = size * 2; REMOVE name; SET new = p('on');"
    )
    changed = action.apply(MESSAGE)
    assert changed.value_of("subject") == "blue"
    assert changed.application is not None
    assert (changed.application["size"], changed.application["new"]) == (22, True)
    assert "name" not in changed.application
    assert MESSAGE.value_of("subject") == "red"


@pytest.mark.parametrize(
    "expression", ["", "size = 1", "SET size", "SET sys.SequenceNumber = 1", "REMOVE", "SET a=1 SET b=2"]
)
def test_a_wrong_action_is_a_fault(expression: str) -> None:
    with pytest.raises(SqlFilterError):
        parse_action(expression)
