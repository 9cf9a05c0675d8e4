"""NCRONTAB expressions: which wall-clock seconds they name, and the next one. It knows no time zones.

The grammar is NCrontab's, quirks included: a name may be cut short (`M` is March), a range the wrong way round
is turned (`FRI-MON` is Monday to Friday), `5/10` runs from 5 to the field's end, a step of 0 counts as 1, and
a day must satisfy the day of month AND the day of week.
"""

from __future__ import annotations

import itertools
import re
from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from fnpack_triggers.errors import PatternError

_MONTHS = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)
_DAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
_NUMBER = re.compile(r"[0-9]{1,9}")
_HORIZON_YEARS = 41  # 29 February falls on each day of the week within 40 years, over 1900 and 2100, too


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    first: int
    last: int
    words: tuple[str, ...] = ()


_FIELDS = (
    _Field("second", 0, 59),
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of month", 1, 31),
    _Field("month", 1, 12, _MONTHS),
    _Field("day of week", 0, 6, _DAYS),
)


@dataclass(frozen=True, slots=True)
class Cron:
    """A parsed expression; each field holds its values in order, days of the week counted from Sunday = 0."""

    text: str
    seconds: tuple[int, ...]
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: tuple[int, ...]
    months: tuple[int, ...]
    weekdays: tuple[int, ...]

    @classmethod
    def parse(cls, text: str) -> Cron:
        """Read an expression of six fields, or of five (no seconds: at second 0).

        Raises PatternError for a malformed expression, and for one that names no day that exists.
        """
        words = [(match[0], match.start()) for match in re.finditer(r"[^ ]+", text)]
        if len(words) == 5:
            words.insert(0, ("0", 0))
        if len(words) != 6:
            raise PatternError(text, 0, f"a schedule has 5 or 6 fields, not {len(words)}, counted")
        fields = (_values(text, word, at, field) for (word, at), field in zip(words, _FIELDS, strict=True))
        cron = cls(text, *fields)
        if cron.next_after(datetime(2000, 1, 1)) is None:
            raise PatternError(text, 0, "no day is ever like this, counted")
        return cron

    @property
    def is_interval(self) -> bool:
        """Whether it repeats within a day, as Azure's host tells it: two values of a time field in a row."""
        return any(
            following - value == 1
            for values in (self.seconds, self.minutes, self.hours)
            for value, following in itertools.pairwise(values)
        )

    @property
    def is_within_minutes(self) -> bool:
        """Whether it can occur twice within a minute."""
        return len(self.seconds) > 1

    def next_after(self, moment: datetime) -> datetime | None:
        """The first occurrence after `moment` (wall clock, to the second); None when there is no more."""
        start = moment.replace(microsecond=0) + timedelta(seconds=1)
        found = self._time_from(start.time()) if self._is_day(start.date()) else None
        if found is not None:
            return datetime.combine(start.date(), found)
        day = next(self._days_after(start.date()), None)
        if day is None:
            return None
        return datetime.combine(day, time(self.hours[0], self.minutes[0], self.seconds[0]))

    def _time_from(self, start: time) -> time | None:
        """The first time of a day at or after `start`."""
        for hour in (hour for hour in self.hours if hour >= start.hour):
            if hour > start.hour:
                return time(hour, self.minutes[0], self.seconds[0])
            for minute in (minute for minute in self.minutes if minute >= start.minute):
                if minute > start.minute:
                    return time(hour, minute, self.seconds[0])
                for second in (second for second in self.seconds if second >= start.second):
                    return time(hour, minute, second)
        return None

    def _days_after(self, day: date) -> Iterator[date]:
        for year in range(day.year, min(day.year + _HORIZON_YEARS, 9999) + 1):
            for month in self.months:
                if (year, month) < (day.year, day.month):
                    continue
                length = monthrange(year, month)[1]
                for number in self.days:
                    if number <= length:
                        found = date(year, month, number)
                        if found > day and self._is_day(found):
                            yield found

    def _is_day(self, day: date) -> bool:
        return day.day in self.days and day.month in self.months and day.isoweekday() % 7 in self.weekdays


def _values(text: str, word: str, at: int, field: _Field) -> tuple[int, ...]:
    found: set[int] = set()
    for part in word.split(","):
        found.update(_part(text, part, at, field))
        at += len(part) + 1
    return tuple(sorted(found))


def _part(text: str, part: str, at: int, field: _Field) -> range:
    span, slash, step_text = part.partition("/")
    if slash and not _NUMBER.fullmatch(step_text):
        raise PatternError(text, at, f"`{part}` has no whole number after its `/`")
    step = max(int(step_text), 1) if slash else 1
    if span == "*":
        return range(field.first, field.last + 1, step)
    low_text, dash, high_text = span.partition("-")
    low = _value(text, low_text, at, field)
    if dash:
        low, high = sorted((low, _value(text, high_text, at, field)))
    else:
        high = field.last if slash else low
    return range(low, high + 1, step)


def _value(text: str, word: str, at: int, field: _Field) -> int:
    allowed = f"the {field.name} is {field.first} to {field.last}"
    if _NUMBER.fullmatch(word):
        value = int(word)
        if field.first <= value <= field.last:
            return value
        raise PatternError(text, at, f"{word} is out of range: {allowed},")
    for number, name in enumerate(field.words, start=field.first):
        if word and name.startswith(word.lower()):
            return number
    if field.words:
        allowed += f" or {field.words[0][:3].upper()} to {field.words[-1][:3].upper()}"
    raise PatternError(text, at, f"`{word}` is not understood: {allowed},")
