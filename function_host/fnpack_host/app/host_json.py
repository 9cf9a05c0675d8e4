"""host.json version 2: values by dotted key, with environment overrides, all checked when the app is loaded.

Source: the host.json v2 reference; `AzureFunctionsJobHost__a__b` overrides `a.b` and keys compare without case. The
table of keys is `host_json_keys`.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from fnpack_host.app.host_json_keys import (
    ANY,
    FLAG,
    INTEGER,
    NUMBER,
    TEXT,
    TEXTS,
    TIME_SPAN,
    Key,
    Use,
    is_section,
    key_of,
    similar,
)
from fnpack_host.app.lenient_json import read_json_object
from fnpack_host.app.retry import RetryPolicy, read_retry, retry_problems
from fnpack_host.app.time_span import time_span
from fnpack_host.errors import HostJsonError
from fnpack_triggers.base import Json

log = logging.getLogger("fnpack.host")

OVERRIDE_PREFIX = "AzureFunctionsJobHost__"
_INTEGER = re.compile(r"-?[0-9]{1,20}")
_HEADER_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_CUSTOM_HEADERS = "extensions.http.customheaders."


class HostJson:
    """The values of host.json. Getters raise HostJsonError that names key, value and what is allowed."""

    def __init__(self, values: Mapping[str, Json], source: str = "host.json") -> None:
        self._source = source
        self._values: dict[str, Json] = {}
        self._names: dict[str, str] = {}  # as they were written
        self._flatten("", dict(values))

    @classmethod
    def load(cls, app_root: Path, overrides: Mapping[str, str]) -> HostJson:
        """Read `app_root`/host.json; `overrides` are the settings below `AzureFunctionsJobHost__`, prefix removed.

        Raises HostJsonError that names all wrong values at once. Keys that mean nothing here give a debug line.
        """
        path = app_root / "host.json"
        host_json = cls(read_json_object(path) if path.is_file() else {"version": "2.0"}, str(path))
        for name, value in overrides.items():
            host_json._override(name.replace("__", ".").replace(":", "."), value)
        version = host_json._values.get("version")
        if version != "2.0":
            raise HostJsonError(f'{path}: version is {version!r}, but must be "2.0"')
        host_json.check()
        return host_json

    def check(self) -> None:
        """Check all values by the table. Raises HostJsonError that names every wrong one."""
        problems = []
        for name in self._names:
            key = key_of(name)
            if key is None:
                self._note_unknown(name)
                continue
            problem = self._problem(name, key)
            if problem:
                problems.append(problem)
            elif key.use is Use.NO_MEANING:
                log.debug("host.json: %s has no meaning here: %s", self._names[name], key.meaning)
        problems += [*self._relations(), *self._retry_problems(problems)]
        if problems:
            raise HostJsonError("\n".join(f"{self._source}: {problem}" for problem in problems))

    def text(self, key: str, default: str) -> str:
        """A string value."""
        value = self._values.get(key.lower(), default)
        if not isinstance(value, str):
            raise self._wrong(key, value, "a string")
        return value

    def integer(self, key: str, default: int, minimum: int, maximum: int = 2**31 - 1) -> int:
        """A whole number within bounds; a string of digits counts, as environment overrides are strings."""
        value = _number(self._values.get(key.lower(), default))
        if not isinstance(value, int) or not minimum <= value <= maximum:
            raise self._wrong(key, value, f"a whole number from {minimum} to {maximum}")
        return value

    def flag(self, key: str, default: bool) -> bool:
        """True or false; the strings `true` and `false` count."""
        value = self._values.get(key.lower(), default)
        if isinstance(value, str) and value.strip().lower() in ("true", "false"):
            return value.strip().lower() == "true"
        if not isinstance(value, bool):
            raise self._wrong(key, value, "true or false")
        return value

    def strings(self, key: str) -> tuple[str, ...] | None:
        """A list of strings, or None where the key is absent."""
        value = self._values.get(key.lower())
        if value is None:
            return None
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self._wrong(key, value, "a list of strings")
        return tuple(str(item) for item in value)

    def texts(self, section: str) -> dict[str, str]:
        """The strings below a section, by the rest of their names as written; other values are left out."""
        prefix = section.lower() + "."
        return {
            written[len(prefix) :]: value
            for name, written in self._names.items()
            if name.startswith(prefix) and isinstance(value := self._values[name], str)
        }

    @property
    def retry(self) -> RetryPolicy | None:
        """The retry policy of all functions that have none of their own."""
        values = self._below("retry")
        return read_retry(values) if values else None

    def _below(self, section: str) -> dict[str, Json]:
        prefix = f"{section}."
        return {
            name[len(prefix) :]: value
            for name, value in self._values.items()
            if name.startswith(prefix) and value is not None
        }

    def seconds(self, key: str, default: float | None) -> float | None:
        """A time span `[d.]hh:mm[:ss[.fffffff]]` in seconds; `-1` means without bound and gives None."""
        value = self._values.get(key.lower())
        if value is None:
            return default
        if str(value) == "-1":
            return None
        found = time_span(value)
        if found is None:
            raise self._wrong(key, value, "a time span such as 00:05:00, or -1 for no bound")
        return found

    def _override(self, name: str, value: str) -> None:
        """Take one value of the environment; `a.0` is the first entry of the list `a`."""
        parent, _, last = name.lower().rpartition(".")
        entries = self._values.get(parent)
        if last.isdigit() and (isinstance(entries, list) or parent not in self._values):
            grown = list(entries) if isinstance(entries, list) else []
            grown[int(last) :] = [value, *grown[int(last) + 1 :]] if int(last) < 1000 else grown
            self._values[parent] = grown
            self._names.setdefault(parent, name.rpartition(".")[0])
            return
        self._values[name.lower()] = value
        self._names.setdefault(name.lower(), name)

    def _flatten(self, prefix: str, values: dict[str, Json]) -> None:
        for key, value in values.items():
            written = f"{prefix}{key}"
            self._values[written.lower()] = value
            key_here = key_of(written)
            if isinstance(value, dict):
                self._flatten(f"{written}.", value)
                if key_here is None or key_here.kind == ANY or is_section(written):
                    continue  # what counts lies below
            self._names[written.lower()] = written

    def _problem(self, name: str, key: Key) -> str:
        """What is wrong with a value, or an empty text."""
        value = self._values[name]
        if value is None or (key.special and str(value) == key.special):
            return ""
        if name.startswith(_CUSTOM_HEADERS) and isinstance(value, str):
            return self._header_problem(name, value)
        return "" if _fits(value, key) else f"{self._names[name]} is {value!r}, but must be {key.allowed}"

    def _header_problem(self, name: str, value: str) -> str:
        written = self._names[name]
        if not _HEADER_NAME.fullmatch(written[len(_CUSTOM_HEADERS) :]):
            return f"{written} is not the name of a header"
        if any(character < " " or character > "ÿ" or character == "\x7f" for character in value):
            return f"{written} is {value!r}, but must be one line of Latin-1 text"
        return ""

    def _relations(self) -> list[str]:
        """What must hold between values."""
        below = "extensions.servicebus."
        low = _number(self._values.get(f"{below}minmessagebatchsize"))
        high = _number(self._values.get(f"{below}maxmessagebatchsize", 1000))
        if isinstance(low, int) and isinstance(high, int) and low > high:
            return [
                f"extensions.serviceBus.minMessageBatchSize is {low}, but must be at most maxMessageBatchSize ({high})"
            ]
        return []

    def _retry_problems(self, known: list[str]) -> list[str]:
        """What a retry policy lacks; values that are wrong by themselves have been named already."""
        values = {} if any(problem.startswith("retry.") for problem in known) else self._below("retry")
        return [f"retry.{problem}" for problem in retry_problems(values)] if values else []

    def _note_unknown(self, name: str) -> None:
        if is_section(name):
            log.debug(
                "host.json: %s is %r and not a section; it is ignored", self._names[name], self._values[name]
            )
            return
        hint = f"; did you mean {close}?" if (close := similar(name)) else ""
        log.debug("host.json: %s is not known here and ignored%s", self._names[name], hint)

    def _wrong(self, key: str, value: object, allowed: str) -> HostJsonError:
        return HostJsonError(f"{self._source}: {key} is {value!r}, but must be {allowed}")


def _number(value: Json) -> Json:
    """A string of digits as its number; booleans are no numbers."""
    if isinstance(value, str) and _INTEGER.fullmatch(value.strip()):
        return int(value)
    return None if isinstance(value, bool) else value


def _fits(value: Json, key: Key) -> bool:
    return _CHECKS[key.kind](value, key)


def _is_text(value: Json, key: Key) -> bool:
    choices = {choice.lower() for choice in key.choices}
    return isinstance(value, str) and (not choices or value.lower() in choices)


def _is_whole(value: Json, key: Key) -> bool:
    number = _number(value)
    return isinstance(number, int) and key.minimum <= number <= key.maximum


def _is_flag(value: Json, key: Key) -> bool:
    return isinstance(value, bool) or (isinstance(value, str) and value.strip().lower() in ("true", "false"))


def _is_time_span(value: Json, key: Key) -> bool:
    seconds = time_span(value)
    return seconds is not None and key.minimum <= seconds <= key.maximum


def _is_list_of_texts(value: Json, key: Key) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _is_between(value: Json, key: Key) -> bool:
    try:
        return not isinstance(value, bool) and key.minimum <= float(value) <= key.maximum  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return False


_CHECKS: dict[str, Callable[[Json, Key], bool]] = {
    TEXT: _is_text,
    INTEGER: _is_whole,
    NUMBER: _is_between,
    FLAG: _is_flag,
    TIME_SPAN: _is_time_span,
    TEXTS: _is_list_of_texts,
    ANY: lambda value, key: True,
}
