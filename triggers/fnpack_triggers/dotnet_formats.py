""".NET date and GUID format strings, as binding expressions use them (invariant culture, UTC)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from uuid import UUID

# Names are spelled out: strftime's %A and %B follow the locale of the machine.
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)

# One-letter formats stand for a whole pattern.
_STANDARD: Mapping[str, str] = {
    "d": "MM/dd/yyyy",
    "D": "dddd, dd MMMM yyyy",
    "f": "dddd, dd MMMM yyyy HH:mm",
    "F": "dddd, dd MMMM yyyy HH:mm:ss",
    "g": "MM/dd/yyyy HH:mm",
    "G": "MM/dd/yyyy HH:mm:ss",
    "m": "MMMM dd",
    "M": "MMMM dd",
    "o": "yyyy-MM-ddTHH:mm:ss.fffffffK",
    "O": "yyyy-MM-ddTHH:mm:ss.fffffffK",
    "r": "ddd, dd MMM yyyy HH:mm:ss 'GMT'",
    "R": "ddd, dd MMM yyyy HH:mm:ss 'GMT'",
    "s": "yyyy-MM-ddTHH:mm:ss",
    "t": "HH:mm",
    "T": "HH:mm:ss",
    "u": "yyyy-MM-dd HH:mm:ss'Z'",
    "U": "dddd, dd MMMM yyyy HH:mm:ss",
    "y": "yyyy MMMM",
    "Y": "yyyy MMMM",
}

_TOKEN = re.compile(
    r"""'[^']*'|"[^"]*"|\\.|%?(?:d+|f{1,7}|F{1,7}|h+|H+|K|m+|M+|s+|t+|y+|z+)|.""",
    re.DOTALL,
)
_GUID_FORMATS: Mapping[str, Callable[[UUID], str]] = {
    "N": lambda value: value.hex,
    "D": str,
    "B": lambda value: f"{{{value}}}",
    "P": lambda value: f"({value})",
}


def format_datetime(moment: datetime, format_text: str) -> str:
    """`moment` (UTC) in a .NET standard or custom format. Raises ValueError for an unknown one-letter format."""
    if len(format_text) == 1:
        if format_text not in _STANDARD:
            raise ValueError(f"`{format_text}` is not a date format")
        format_text = _STANDARD[format_text]
    return "".join(_render(token, moment) for token in _TOKEN.findall(format_text))


def format_guid(value: UUID, format_text: str) -> str:
    """`value` in a .NET GUID format: N, D, B or P (either case). Raises ValueError for any other."""
    try:
        return _GUID_FORMATS[format_text.upper() or "D"](value)
    except KeyError:
        raise ValueError(f"`{format_text}` is not a GUID format (use N, D, B or P)") from None


def _render(token: str, moment: datetime) -> str:
    if token[0] in "'\"":
        return token[1:-1] if len(token) > 1 else token
    if token[0] == "\\":
        return token[1:]
    specifier = token.lstrip("%")
    if not specifier:
        return token
    return _specifier(specifier[0], len(specifier), moment) if specifier[0] in "dfFhHKmMstyz" else token


def _specifier(letter: str, count: int, moment: datetime) -> str:
    match letter:
        case "y":
            year = moment.year % 100 if count <= 2 else moment.year
            return str(year).zfill(count)
        case "M" if count >= 3:
            name = _MONTHS[moment.month - 1]
            return name[:3] if count == 3 else name
        case "d" if count >= 3:
            name = _DAYS[moment.weekday()]
            return name[:3] if count == 3 else name
        case "f":
            return f"{moment.microsecond:06d}0"[:count]
        case "F":
            return f"{moment.microsecond:06d}0"[:count].rstrip("0")
        case "t":
            return ("AM" if moment.hour < 12 else "PM")[:count]
        case "K":
            return "Z"
        case "z":
            return ("+0", "+00", "+00:00")[min(count, 3) - 1]
        case _:
            number = {
                "M": moment.month,
                "d": moment.day,
                "H": moment.hour,
                "h": (moment.hour + 11) % 12 + 1,
                "m": moment.minute,
                "s": moment.second,
            }[letter]
            return str(number).zfill(min(count, 2))
