"""When a timer is due: NCRONTAB in a time zone with its summer time, or a fixed interval."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone, tzinfo
from typing import Protocol

from fnpack_triggers.errors import BindingError
from fnpack_triggers.timer.cron import Cron

_SPAN = re.compile(
    r"(?:(?P<days>\d{1,8})(?:\.|:(?=\d+:\d+:\d)))?(?P<hours>\d{1,8}):(?P<minutes>\d{1,2})(?::(?P<seconds>\d{1,2})(?:\.(?P<fraction>\d{1,7}))?)?"
)


class Schedule(Protocol):
    """Says when a function is due."""

    @property
    def is_within_minutes(self) -> bool:
        """Whether it is due more than once a minute: such a schedule is not monitored."""

    def next_after(self, moment: datetime) -> datetime:
        """The first due time after `moment`; both are aware, the result is in UTC."""


@dataclass(frozen=True, slots=True)
class EverySpan:
    """Due each time `span` has passed since the last run began."""

    span: timedelta

    @property
    def is_within_minutes(self) -> bool:
        """See `Schedule`."""
        return self.span < timedelta(minutes=1)

    def next_after(self, moment: datetime) -> datetime:
        """See `Schedule`."""
        return moment.astimezone(timezone.utc) + self.span


@dataclass(frozen=True, slots=True)
class CronInZone:
    """An NCRONTAB expression over the wall clock of `zone`.

    As in Azure's host: a time that summer time skips is due right after the gap. A time that comes twice in
    autumn is due the first time only, unless the expression repeats within the day: then it is due both times.
    """

    cron: Cron
    zone: tzinfo

    @property
    def is_within_minutes(self) -> bool:
        """See `Schedule`."""
        return self.cron.is_within_minutes

    def next_after(self, moment: datetime) -> datetime:
        """See `Schedule`. Raises OverflowError at the end of the calendar."""
        now = moment.astimezone(timezone.utc)
        wall = now.astimezone(self.zone).replace(tzinfo=None, fold=0)
        while True:
            following = self.cron.next_after(wall)
            if following is None:
                raise OverflowError(f"`{self.cron.text}` is not due any more")
            wall = following
            first, second = self._instants(wall)
            if first > now:
                break
            if second > now and self.cron.is_interval:
                return second
        if self.cron.is_interval:
            return min(first, self._in_repeated_hour(now, first))
        return first

    def _instants(self, wall: datetime) -> tuple[datetime, datetime]:
        """When the wall clock shows `wall`: twice the same, except in an hour that comes twice."""
        first = wall.replace(tzinfo=self.zone, fold=0)
        second = wall.replace(tzinfo=self.zone, fold=1)
        instants = first.astimezone(timezone.utc), second.astimezone(timezone.utc)
        is_skipped = instants[1] < instants[0]
        return (instants[0], instants[0]) if is_skipped else instants

    def _in_repeated_hour(self, now: datetime, due: datetime) -> datetime:
        """If the clock shows the hour that it will show again: the first occurrence after it was put back."""
        _, again = self._instants(now.astimezone(self.zone).replace(tzinfo=None, fold=0))
        if again <= now:
            return due
        low, high = now, again
        while high - low > timedelta(seconds=1):
            middle = low + (high - low) / 2
            low, high = (middle, high) if self._offset(middle) == self._offset(now) else (low, middle)
        back = high.replace(microsecond=0).astimezone(self.zone).replace(tzinfo=None)
        wall = self.cron.next_after(back - timedelta(seconds=1))
        return due if wall is None else wall.replace(tzinfo=self.zone, fold=1).astimezone(timezone.utc)

    def _offset(self, moment: datetime) -> timedelta:
        return moment.astimezone(self.zone).utcoffset() or timedelta(0)


def parse_schedule(text: str, zone: tzinfo) -> Schedule:
    """An NCRONTAB expression, or a time span such as `00:05:00` (`24:00` and more count in days, as in .NET).

    Raises PatternError or BindingError.
    """
    if match := _SPAN.fullmatch(text.strip()):
        return EverySpan(_span(text, match))
    return CronInZone(Cron.parse(text), zone)


def _span(text: str, match: re.Match[str]) -> timedelta:
    days, hours, minutes, seconds = (
        int(match[name] or 0) for name in ("days", "hours", "minutes", "seconds")
    )
    if match["days"] is None and hours > 23:  # the first number is then days: dd:hh:mm
        days, hours, minutes, seconds = hours, minutes, seconds, 0
    if hours > 23 or minutes > 59 or seconds > 59:
        raise BindingError(
            f"the schedule `{text}` is not a time span: hours end at 23, minutes and seconds at 59"
        )
    micros = int((match["fraction"] or "0").ljust(6, "0")[:6])
    span = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds, microseconds=micros)
    if not timedelta(0) < span <= timedelta(days=36_500):
        raise BindingError(f"the schedule `{text}` is a time span of nothing or of more than a century")
    return span
