"""ISO 8601 durations, as the official emulator's configuration writes them."""

from __future__ import annotations

import re

_DURATION = re.compile(
    r"P(?=.)(?:(?P<days>\d+)D)?(?:T(?=.)(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>\d+(?:\.\d+)?)S)?)?"
)
_MILLISECONDS = {"days": 86_400_000, "hours": 3_600_000, "minutes": 60_000, "seconds": 1000}


def parse_duration_ms(text: str) -> int | None:
    """The milliseconds of a duration such as `PT1H30M`, `PT5S` or `P1D`; None if it is none."""
    found = _DURATION.fullmatch(text)
    if found is None:
        return None
    return round(sum(float(found[unit] or 0) * size for unit, size in _MILLISECONDS.items()))
