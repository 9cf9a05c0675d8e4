"""Schedules in time zones with summer time, and fixed intervals."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fnpack_triggers.errors import BindingError, FnpackError
from fnpack_triggers.timer.cron import Cron
from fnpack_triggers.timer.schedule import CronInZone, EverySpan, Schedule, parse_schedule
from fnpack_triggers.timer.zones import _WINDOWS, schedule_zone

PACIFIC = ZoneInfo("America/Los_Angeles")


def following(schedule: Schedule, start: datetime) -> Iterator[datetime]:
    while True:
        start = schedule.next_after(start)
        yield start


def shown(text: str, start: str, count: int, zone: ZoneInfo = PACIFIC) -> list[str]:
    """The next times as the wall clock shows them, with the offset's hours."""
    found = following(parse_schedule(text, zone), datetime.fromisoformat(start))
    local = (next(found).astimezone(zone) for _ in range(count))
    return [f"{one:%d %H:%M}{one:%z}"[:-2] for one in local]


@pytest.mark.parametrize(
    ("text", "start", "expected"),
    [
        # Spring: 02:00 to 03:00 on 11 March 2018 does not exist.
        ("0 */30 * * * *", "2018-03-11T01:00-08:00", ["11 01:30-08", "11 03:00-07", "11 03:30-07"]),
        ("0 15 * * * *", "2018-03-11T00:30-08:00", ["11 01:15-08", "11 03:15-07", "11 04:15-07"]),
        ("0 30 2 * * *", "2018-03-10T01:00-08:00", ["10 02:30-08", "11 03:30-07", "12 02:30-07"]),
        # Autumn: 01:00 to 02:00 on 4 November 2018 comes twice. Repeating schedules run both times.
        (
            "0 */30 * * * *",
            "2018-11-04T00:45-07:00",
            ["04 01:00-07", "04 01:30-07", "04 01:00-08", "04 01:30-08", "04 02:00-08"],
        ),
        ("0 15,45 * * * *", "2018-11-04T01:20-07:00", ["04 01:45-07", "04 01:15-08", "04 01:45-08"]),
        # A point in time runs once, the first time.
        ("0 30 1 * * *", "2018-11-03T12:00-07:00", ["04 01:30-07", "05 01:30-08"]),
        ("0 30 1 * * *", "2018-11-04T01:29-08:00", ["05 01:30-08"]),
        ("0 0 1,4 * * *", "2018-11-03T12:00-07:00", ["04 01:00-07", "04 04:00-08"]),
    ],
)
def test_summer_time_is_handled_as_azures_host_does(text: str, start: str, expected: list[str]) -> None:
    assert shown(text, start, len(expected)) == expected


minutes = st.lists(st.integers(0, 59), min_size=1, max_size=4).map(lambda values: ",".join(map(str, values)))
ZONES = {
    "America/Los_Angeles": datetime(2018, 11, 4, 9, tzinfo=timezone.utc),
    "Europe/Berlin": datetime(2024, 10, 27, 1, tzinfo=timezone.utc),
    "Australia/Lord_Howe": datetime(2024, 4, 6, 15, tzinfo=timezone.utc),  # half an hour
}


@given(minutes, st.sampled_from(sorted(ZONES)), st.integers(-150, 150))
def test_a_repeating_schedule_runs_whenever_the_clock_shows_it_in_autumn(
    words: str, zone_name: str, offset: int
) -> None:
    zone, start = ZoneInfo(zone_name), ZONES[zone_name] + timedelta(minutes=offset)
    cron = Cron.parse(f"0 {words} * * * *")
    expected = start.replace(second=0)
    while True:
        expected += timedelta(minutes=1)
        if expected.astimezone(zone).minute in cron.minutes:
            break
    assert CronInZone(cron, zone).next_after(start) == expected


@given(st.integers(0, 23), st.integers(0, 59), st.sampled_from([*sorted(ZONES), "UTC", "Asia/Kolkata"]))
def test_a_daily_schedule_runs_once_on_every_day_of_the_year(hour: int, minute: int, zone_name: str) -> None:
    zone = ZoneInfo(zone_name)
    found = following(
        CronInZone(Cron.parse(f"0 {minute} {hour} * * *"), zone), datetime(2024, 1, 1, tzinfo=zone)
    )
    days = [next(found).astimezone(zone).date() for _ in range(365)]
    assert len(set(days)) == 365
    assert (days[-1] - days[0]).days == 364


@given(st.datetimes(datetime(2018, 1, 1), datetime(2019, 1, 1)), st.sampled_from(sorted(ZONES)), minutes)
def test_the_next_time_is_always_later(start: datetime, zone_name: str, words: str) -> None:
    schedule = CronInZone(Cron.parse(f"0 {words} 1-3 * * *"), ZoneInfo(zone_name))
    now = start.replace(tzinfo=timezone.utc)
    assert schedule.next_after(now) > now


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("01:00:00", timedelta(hours=1)),
        ("00:01:30", timedelta(seconds=90)),
        ("00:00:00.5", timedelta(milliseconds=500)),
        ("23:59:59", timedelta(hours=23, minutes=59, seconds=59)),
        ("24:00:00", timedelta(days=24)),
        ("1.00:00:00", timedelta(days=1)),
        ("25:00:00:00", timedelta(days=25)),
        ("00:05", timedelta(minutes=5)),
    ],
)
def test_time_spans_are_read_as_net_reads_them(text: str, span: timedelta) -> None:
    assert parse_schedule(text, timezone.utc) == EverySpan(span)


@pytest.mark.parametrize("text", ["00:00:00", "00:61:00", "24:24:00", "1.24:00:00", "", "every day", "1"])
def test_what_is_no_schedule_is_an_error(text: str) -> None:
    with pytest.raises(FnpackError):
        parse_schedule(text, timezone.utc)


def test_which_schedules_come_more_than_once_a_minute() -> None:
    texts = {
        "* * * * * *": True,
        "0,30 * * * * *": True,
        "5 * * * * *": False,
        "00:00:59": True,
        "00:01": False,
    }
    for text, expected in texts.items():
        assert parse_schedule(text, timezone.utc).is_within_minutes is expected


def test_the_zone_is_the_apps_by_either_kind_of_name() -> None:
    both = {"WEBSITE_TIME_ZONE": "W. Europe Standard Time", "TZ": "Asia/Tokyo"}
    assert schedule_zone({}) is timezone.utc
    assert str(schedule_zone(both)) == "Europe/Berlin"
    assert str(schedule_zone({"TZ": "Asia/Tokyo"})) == "Asia/Tokyo"
    with pytest.raises(BindingError, match=r"WEBSITE_TIME_ZONE.*Mars"):
        schedule_zone({"WEBSITE_TIME_ZONE": "Mars/Olympus"})


@pytest.mark.parametrize("zone_name", sorted(set(_WINDOWS.values())))
def test_every_windows_name_stands_for_a_zone(zone_name: str) -> None:
    assert ZoneInfo(zone_name).utcoffset(datetime(2024, 1, 1)) is not None
