"""Time spans as .NET writes them."""

from __future__ import annotations

import re

from fnpack_triggers.base import Json

_TIMESPAN = re.compile(r"^(-)?(?:(\d{1,8})\.)?(\d{1,2}):(\d{2})(?::(\d{2})(?:\.(\d{1,7}))?)?$", re.ASCII)


def time_span(value: Json) -> float | None:
    """The seconds of `[-][d.]hh:mm[:ss[.fffffff]]`, or None for what is none."""
    match = _TIMESPAN.match(value) if isinstance(value, str) else None
    if match is None:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in match.group(2, 3, 4, 5))
    if hours > 23 or minutes > 59 or seconds > 59:
        return None
    total = ((days * 24 + hours) * 60 + minutes) * 60 + seconds + float(f"0.{match[6] or 0}")
    return -total if match[1] else total
