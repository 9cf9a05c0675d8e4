"""NCRONTAB: the grammar's quirks, and every occurrence against a brute-force search."""

from __future__ import annotations

from calendar import monthrange
from datetime import date, datetime, timedelta
from itertools import product

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from fnpack_triggers.errors import PatternError
from fnpack_triggers.timer.cron import Cron


def occurrences(text: str, start: str, count: int) -> list[str]:
    cron, moment, found = Cron.parse(text), datetime.fromisoformat(start), []
    for _ in range(count):
        following = cron.next_after(moment)
        assert following is not None
        found.append(following.isoformat(" "))
        moment = following
    return found


@pytest.mark.parametrize(
    ("text", "start", "expected"),
    [
        ("0 */5 * * * *", "2024-01-01 00:00:00", ["2024-01-01 00:05:00", "2024-01-01 00:10:00"]),
        ("*/5 * * * *", "2024-01-01 00:00:00", ["2024-01-01 00:05:00", "2024-01-01 00:10:00"]),
        ("0 30 9 * * 1-5", "2024-01-05 09:30:00", ["2024-01-08 09:30:00"]),
        ("0 30 9 * Jan Mon", "2024-01-29 10:00:00", ["2025-01-06 09:30:00"]),
        ("0 30 9 * january MONDAY", "2024-01-29 10:00:00", ["2025-01-06 09:30:00"]),
        ("5,8,10 * * * * *", "2024-01-01 00:00:06", ["2024-01-01 00:00:08", "2024-01-01 00:00:10"]),
        ("0 5-7 * * * *", "2024-01-01 00:06:00", ["2024-01-01 00:07:00", "2024-01-01 01:05:00"]),
        ("0 5/20 * * * *", "2024-01-01 00:00:00", ["2024-01-01 00:05:00", "2024-01-01 00:25:00"]),
        ("0 0 0 29 2 *", "2024-03-01 00:00:00", ["2028-02-29 00:00:00"]),
        ("0 0 0 29 2 *", "1896-03-01 00:00:00", ["1904-02-29 00:00:00"]),
        ("0 0 0 29 2 1", "2072-03-01 00:00:00", ["2112-02-29 00:00:00"]),  # none for 40 years
        ("0 0 0 31 * *", "2024-01-31 00:00:00", ["2024-03-31 00:00:00", "2024-05-31 00:00:00"]),
        ("0 0 0 13 * 5", "2024-01-01 00:00:00", ["2024-09-13 00:00:00", "2024-12-13 00:00:00"]),
        ("59 59 23 31 12 *", "2024-12-31 23:59:58", ["2024-12-31 23:59:59", "2025-12-31 23:59:59"]),
    ],
)
def test_occurrences_are_those_of_ncrontab(text: str, start: str, expected: list[str]) -> None:
    assert occurrences(text, start, len(expected)) == expected


def test_an_expression_of_five_fields_is_due_at_second_0() -> None:
    assert Cron.parse("1 2 3 4 5").seconds == (0,)


@pytest.mark.parametrize(
    ("word", "weekdays"),
    [("FRI-MON", (1, 2, 3, 4, 5)), ("SUN-SAT", tuple(range(7))), ("t,6", (2, 6)), ("*/0", tuple(range(7)))],
)
def test_turned_ranges_short_names_and_steps_of_nothing_are_read_as_ncrontab_does(
    word: str, weekdays: tuple[int, ...]
) -> None:
    assert Cron.parse(f"* * * * * {word}").weekdays == weekdays


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("* * * *", "5 or 6 fields, not 4"),
        ("* * * * * * *", "not 7"),
        ("60 * * * * *", "60 is out of range: the second is 0 to 59, at character 1"),
        ("* * * 0 * *", "the day of month is 1 to 31"),
        ("* * * * * 7", "the day of week is 0 to 6"),
        ("* * * * FOO *", "`FOO` is not understood: the month is 1 to 12 or JAN to DEC"),
        ("* MON * * * *", "`MON` is not understood: the minute is 0 to 59"),
        ("*/x * * * * *", "no whole number after its `/`"),
        ("1,,2 * * * * *", "`` is not understood"),
        ("1- * * * * *", "is not understood"),
        ("-5 * * * * *", "is not understood"),
        ("L * * * * *", "is not understood"),
        ("? * * * * *", "is not understood"),
        ("0 0 0 30 2 *", "no day is ever like this"),
    ],
)
def test_a_malformed_expression_is_told_with_its_place(text: str, told: str) -> None:
    with pytest.raises(PatternError, match="(?s)^") as caught:
        Cron.parse(text)
    assert told in str(caught.value)


def field(first: int, last: int) -> st.SearchStrategy[str]:
    numbers = st.integers(first, last)
    span = st.tuples(numbers, numbers).map(lambda pair: f"{pair[0]}-{pair[1]}")
    stepped = st.tuples(st.just("*") | span | numbers.map(str), st.integers(1, 40)).map(
        "{0[0]}/{0[1]}".format
    )
    part = st.just("*") | numbers.map(str) | span | stepped
    return st.lists(part, min_size=1, max_size=3).map(",".join)


expressions = st.tuples(field(0, 59), field(0, 59), field(0, 23), field(1, 31), field(1, 12), field(0, 6))


def named(word: str, first: int, last: int) -> set[int]:
    """What a field names, read from the grammar anew: value by value."""
    found = set()
    for part in word.split(","):
        span, _, step = part.partition("/")
        if span == "*":
            low, high = first, last
        elif "-" in span:
            low, high = sorted(int(one) for one in span.split("-"))
        else:
            low, high = int(span), last if step else int(span)
        found |= {value for value in range(low, high + 1) if (value - low) % int(step or 1) == 0}
    return found


def brute_force(words: tuple[str, ...], after: datetime, years: int = 3) -> datetime | None:
    bounds = ((0, 59), (0, 59), (0, 23), (1, 31), (1, 12), (0, 6))
    second, minute, hour, day, month, weekday = (
        named(word, *bound) for word, bound in zip(words, bounds, strict=True)
    )
    [
        timedelta(hours=h, minutes=m, seconds=s)
        for h, m, s in product(sorted(hour), sorted(minute), sorted(second))
    ]
    today = datetime.combine(after.date(), datetime.min.time())
    for offset in range(years * 366):
        one = today + timedelta(days=offset)
        if one.day in day and one.month in month and (one.weekday() + 1) % 7 in weekday:
            for h, m, s in product(sorted(hour), sorted(minute), sorted(second)):
                if one.replace(hour=h, minute=m, second=s) > after:
                    return one.replace(hour=h, minute=m, second=s)
    return None


@settings(deadline=None)
@given(expressions, st.datetimes(datetime(1999, 1, 1), datetime(2101, 1, 1)))
def test_the_next_occurrence_is_the_one_a_search_finds(words: tuple[str, ...], after: datetime) -> None:
    expected = brute_force(words, after)
    try:
        cron = Cron.parse(" ".join(words))
    except PatternError:
        assert expected is None
        return
    assume(expected is not None)
    assert cron.next_after(after) == expected


@given(st.integers(1, 31), st.integers(1, 12), st.integers(0, 6))
def test_a_day_that_exists_is_always_found(day: int, month: int, weekday: int) -> None:
    exists = day <= (29 if month == 2 else monthrange(2023, month)[1])
    text = f"0 0 0 {day} {month} {weekday}"
    if not exists:
        with pytest.raises(PatternError):
            Cron.parse(text)
        return
    found = Cron.parse(text).next_after(datetime(2087, 12, 31, 12))
    assert found is not None
    assert (found.day, found.month, found.isoweekday() % 7) == (day, month, weekday)
    skipped = [
        year for year in range(2088, found.year) if day != 29 or month != 2 or monthrange(year, 2)[1] == 29
    ]
    assert all(date(year, month, day).isoweekday() % 7 != weekday for year in skipped)


def test_the_calendar_ends() -> None:
    assert Cron.parse("0 0 0 1 1 *").next_after(datetime(9999, 6, 1)) is None
