"""What `{name:constraint}` in a route accepts. Each constraint is a function of the segment's text.

Source: ASP.NET Core's inline route constraints, which Azure Functions uses; numbers as .NET's invariant culture reads
them. Dates are read in ISO 8601 and in the invariant culture's month/day/year forms.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime

Constraint = Callable[[str], bool]

_INTEGER = re.compile(r"[ \t-\r]*[+-]?[0-9]+[ \t-\r]*\0*")
_NUMBER = re.compile(
    r"[ \t-\r]*[+-]?(?:[0-9][0-9,]*(?:\.[0-9]*)?|\.[0-9]+)(?P<exponent>[eE][+-]?[0-9]+)?[ \t-\r]*"
)
_TRAILING_SIGN = re.compile(r"[ \t-\r]*(?:[0-9][0-9,]*(?:\.[0-9]*)?|\.[0-9]+)[+-][ \t-\r]*")
_NOT_A_NUMBER = ("nan", "infinity", "-infinity", "+infinity", "-nan", "+nan", "∞", "-∞")
_HEX = "[0-9a-fA-F]"
_DASHED = f"{_HEX}{{8}}(?:-{_HEX}{{4}}){{3}}-{_HEX}{{12}}"
_GUID = re.compile(rf"\s*(?:{_HEX}{{32}}|{_DASHED}|\{{{_DASHED}\}}|\({_DASHED}\))\s*")
_ALPHA = re.compile("[a-z]*", re.IGNORECASE | re.ASCII)
_ISO_DATE = re.compile(
    r"\d{4}-\d{1,2}-\d{1,2}(?:[T ]\d{1,2}:\d{2}(?::\d{2}(?:\.\d{1,7})?)?(?:Z|[+-]\d{1,2}:?\d{2})?)?", re.ASCII
)
_DATE_FORMATS = tuple(
    f"{date}{time}"
    for date in ("%m/%d/%Y", "%Y/%m/%d", "%Y-%m-%d", "%d %B %Y", "%d %b %Y", "%B %d, %Y", "%b %d, %Y")
    for time in ("", " %H:%M", " %H:%M:%S", " %I:%M%p", " %I:%M %p", " %I:%M:%S %p")
)
_INT = 2**31
_LONG = 2**63
_DECIMAL_LIMIT = 2**96


class ConstraintError(ValueError):
    """The text after the colon names no constraint, or one with wrong arguments."""


def constraint(text: str) -> Constraint:
    """The constraint that `text` (`int`, `range(1,9)`) names. Raises ConstraintError."""
    name, parenthesis, rest = text.partition("(")
    name = name.strip().lower()
    if not parenthesis:
        if name in PLAIN:
            return PLAIN[name]
        arguments = None
    elif not rest.endswith(")"):
        raise ConstraintError(f"`{text}` lacks its closing parenthesis")
    else:
        arguments = rest[:-1]
    if name not in WITH_ARGUMENTS:
        known = ", ".join(sorted([*PLAIN, *WITH_ARGUMENTS]))
        raise ConstraintError(f"`{text}` is no constraint; there are {known}")
    if arguments is None:
        raise ConstraintError(f"`{name}` needs its arguments in parentheses")
    return WITH_ARGUMENTS[name](arguments)


def _integer(text: str) -> int | None:
    return int(text.strip(" \t\n\v\f\r\0")) if len(text) < 100 and _INTEGER.fullmatch(text) else None


def _is_int(text: str) -> bool:
    number = _integer(text)
    return number is not None and -_INT <= number < _INT


def _long(text: str) -> int | None:
    number = _integer(text)
    return number if number is not None and -_LONG <= number < _LONG else None


def _is_float(text: str) -> bool:
    return bool(_NUMBER.fullmatch(text)) or text.strip().lower() in _NOT_A_NUMBER


def _is_decimal(text: str) -> bool:
    match = _NUMBER.fullmatch(text)
    if (match is None or match["exponent"]) and not _TRAILING_SIGN.fullmatch(text):
        return False
    whole = re.sub(r"[^0-9.]", "", text).partition(".")[0].lstrip("0")
    return len(whole) < 30 and int(whole or "0") < _DECIMAL_LIMIT


def _is_date(text: str) -> bool:
    text = text.strip()
    if _ISO_DATE.fullmatch(text):
        numbers = [int(part) for part in re.findall(r"\d+", text)[:6]]
        if len(numbers) == 4:  # a time zone cannot stand alone, so that this is no case of the pattern
            return False
        try:
            datetime(*(numbers + [0] * (6 - len(numbers))))  # type: ignore[arg-type]
        except ValueError:
            return False
        return True
    return any(_parses(text, one) for one in _DATE_FORMATS)


def _parses(text: str, date_format: str) -> bool:
    try:
        datetime.strptime(text, date_format)
    except ValueError:
        return False
    return True


def _numbers(arguments: str, name: str, counts: tuple[int, ...]) -> list[int]:
    numbers = [_long(part) for part in arguments.split(",")]
    if len(numbers) not in counts or None in numbers:
        wanted = " or ".join(str(count) for count in counts)
        raise ConstraintError(f"`{name}({arguments})` takes {wanted} whole number(s)")
    return [number for number in numbers if number is not None]


def _length(arguments: str) -> Constraint:
    numbers = _numbers(arguments, "length", (1, 2))
    low, high = numbers[0], numbers[-1]
    if low < 0 or low > high:
        raise ConstraintError(f"`length({arguments})` is an empty range")
    return lambda text: low <= _utf16_length(text) <= high


def _min_length(arguments: str) -> Constraint:
    (low,) = _numbers(arguments, "minlength", (1,))
    return lambda text: _utf16_length(text) >= low


def _max_length(arguments: str) -> Constraint:
    (high,) = _numbers(arguments, "maxlength", (1,))
    return lambda text: _utf16_length(text) <= high


def _min(arguments: str) -> Constraint:
    (low,) = _numbers(arguments, "min", (1,))
    return lambda text: (number := _long(text)) is not None and number >= low


def _max(arguments: str) -> Constraint:
    (high,) = _numbers(arguments, "max", (1,))
    return lambda text: (number := _long(text)) is not None and number <= high


def _range(arguments: str) -> Constraint:
    low, high = _numbers(arguments, "range", (2,))
    if low > high:
        raise ConstraintError(f"`range({arguments})` is an empty range")
    return lambda text: (number := _long(text)) is not None and low <= number <= high


def _regex(arguments: str) -> Constraint:
    try:
        # Route templates often carry C#'s doubled backslashes from examples; a pattern is used as it is written.
        pattern = re.compile(arguments, re.IGNORECASE)
    except re.error as error:
        raise ConstraintError(f"`regex({arguments})`: {error}") from error
    return lambda text: pattern.search(text) is not None


def _utf16_length(text: str) -> int:
    """A string's length as .NET counts it."""
    return len(text) + sum(character > "\uffff" for character in text)


PLAIN: dict[str, Constraint] = {
    "int": _is_int,
    "long": lambda text: _long(text) is not None,
    "bool": lambda text: text.strip(" \t\n\v\f\r\0").lower() in ("true", "false"),
    "datetime": _is_date,
    "decimal": _is_decimal,
    "double": _is_float,
    "float": _is_float,
    "guid": lambda text: _GUID.fullmatch(text) is not None,
    "alpha": lambda text: _ALPHA.fullmatch(text) is not None,
    "required": lambda text: text != "",
    "file": lambda text: "." in text.rpartition("/")[2].rstrip("."),
    "nonfile": lambda text: "." not in text.rpartition("/")[2].rstrip("."),
}
WITH_ARGUMENTS: dict[str, Callable[[str], Constraint]] = {
    "length": _length,
    "minlength": _min_length,
    "maxlength": _max_length,
    "min": _min,
    "max": _max,
    "range": _range,
    "regex": _regex,
}
