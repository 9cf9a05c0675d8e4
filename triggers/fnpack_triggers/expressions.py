"""Binding expressions: `{name}`, `{a.b}`, `{rand-guid}`, `{datetime:yyyy-MM}` and `%SETTING%`.

The grammar is the one of Azure WebJobs' BindingTemplateParser. It owns text only; what the names mean (which
trigger offers which data) belongs to the triggers. One deliberate difference: a date format may hold a dot,
where Azure's host silently cuts the format there.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timezone
from typing import NamedTuple
from uuid import uuid4

from fnpack_triggers.base import Json
from fnpack_triggers.dotnet_formats import format_datetime, format_guid
from fnpack_triggers.errors import PatternError
from fnpack_triggers.settings import find_setting

_DEFAULT_DATE_FORMAT = "yyyy-MM-ddTHH-mm-ssK"
_IDENTIFIER = re.compile(r"[^\W\d][\w.-]*")


class Literal(NamedTuple):
    """Text that stands for itself, braces already unescaped."""

    text: str


class Expression(NamedTuple):
    """`{name}` or `{name:format}`; `position` counts characters from 0 in the template."""

    name: str
    format: str
    position: int

    @property
    def root(self) -> str:
        """The first dotted part: the name that must be known."""
        return self.name.partition(".")[0]

    @property
    def is_builtin(self) -> bool:
        """Whether it has a value of its own (a new GUID, the time) when the data holds no such name."""
        return self.name.lower() in _BUILTINS


Token = Literal | Expression


class Template(NamedTuple):
    """A text with expressions, parsed and checked."""

    text: str
    tokens: tuple[Token, ...]

    @classmethod
    def parse(cls, text: str) -> Template:
        """Read `text`; raises PatternError, with the position, for a lone brace, a bad name or a bad format."""
        tokens = tuple(_tokens(text))
        for token in tokens:
            if isinstance(token, Expression):
                _check(text, token)
        return cls(text, tokens)

    @property
    def names(self) -> tuple[str, ...]:
        """The data names it needs (first dotted parts, as first written), built-ins left out."""
        found: dict[str, str] = {}
        for token in self.tokens:
            if isinstance(token, Expression) and not token.is_builtin:
                found.setdefault(token.root.lower(), token.root)
        return tuple(found.values())

    def check(self, known: Iterable[str]) -> None:
        """Raise PatternError if a name it needs is not among `known` (any case)."""
        by_lower = {name.lower(): name for name in known}
        for token in self.tokens:
            if not isinstance(token, Expression) or token.is_builtin or token.root.lower() in by_lower:
                continue
            error = PatternError(self.text, token.position, f"nothing is named `{token.root}`")
            close = difflib.get_close_matches(token.root.lower(), by_lower, n=1)
            offer = ", ".join(sorted(by_lower.values(), key=str.lower))
            error.hint = f"did you mean `{by_lower[close[0]]}`?" if close else f"the trigger offers: {offer}"
            raise error

    def render(self, data: Mapping[str, Json]) -> str:
        """The text with every expression replaced from `data` (names in any case), else by a built-in.

        Raises PatternError when a name is unknown or its value is an object or a list.
        """
        if not any(isinstance(token, Expression) for token in self.tokens):
            return "".join(token.text for token in self.tokens if isinstance(token, Literal))
        lowered = {key.lower(): value for key, value in data.items()}
        return "".join(
            token.text if isinstance(token, Literal) else self._value(token, lowered) for token in self.tokens
        )

    def _value(self, token: Expression, data: Mapping[str, Json]) -> str:
        first, *rest = token.name.lower().split(".")
        if first not in data:
            if token.is_builtin:
                return _BUILTINS[token.name.lower()](token.format)
            raise PatternError(self.text, token.position, f"nothing is named `{token.root}`")
        value = data[first]
        for part in rest:
            value = _property(value, part, self.text, token)
        return _to_text(value, self.text, token)


def resolve_settings(text: str, settings: Mapping[str, str]) -> str:
    """`text` with each `%NAME%` replaced from `settings`; raises PatternError for an odd `%` or a missing name."""
    parts: list[str] = []
    end = 0
    while (start := text.find("%", end)) != -1:
        parts.append(text[end:start])
        close = text.find("%", start + 1)
        if close == -1:
            raise PatternError(text, start, "`%` without its pair")
        name = text[start + 1 : close]
        value = find_setting(settings, name) if name else None
        if value is None:
            error = PatternError(
                text, start, f"the setting `{name}` is not set" if name else "`%%` names no setting"
            )
            error.hint = f"set the app setting or environment variable `{name}`" if name else None
            raise error
        parts.append(value)
        end = close + 1
    return "".join((*parts, text[end:]))


def _tokens(text: str) -> Iterable[Token]:
    literal: list[str] = []
    position = 0
    while position < len(text):
        char = text[position]
        if char not in "{}":
            stop = min(
                (at for at in (text.find("{", position), text.find("}", position)) if at != -1),
                default=len(text),
            )
            literal.append(text[position:stop])
            position = stop
        elif text.startswith(char * 2, position):
            literal.append(char)
            position += 2
        elif char == "}":
            raise PatternError(text, position, "`}` without its `{` (write `}}` for a brace)")
        else:
            if literal:
                yield Literal("".join(literal))
                literal.clear()
            expression, position = _expression(text, position)
            yield expression
    if literal:
        yield Literal("".join(literal))


def _expression(text: str, start: int) -> tuple[Expression, int]:
    close = text.find("}", start)
    opened_again = text.find("{", start + 1)
    if close == -1 or -1 < opened_again < close:
        raise PatternError(text, start, "unclosed brace (write `{{` for a brace)")
    name, _, format_text = text[start + 1 : close].partition(":")
    if not name:
        raise PatternError(text, start, "an expression without a name")
    return Expression(name, format_text, start), close + 1


def _check(text: str, token: Expression) -> None:
    if not _IDENTIFIER.fullmatch(token.name) or "" in token.name.split("."):
        raise PatternError(text, token.position, f"`{token.name}` is not a name (letters, digits, `_`, `.`)")
    if "-" in token.root and not token.is_builtin:
        raise PatternError(
            text, token.position, f"`{token.name}` is not a name (no `-` before the first dot)"
        )
    if token.is_builtin:
        try:
            _BUILTINS[token.name.lower()](token.format)
        except ValueError as exc:
            raise PatternError(text, token.position, str(exc)) from exc


def _property(value: Json, part: str, text: str, token: Expression) -> Json:
    if isinstance(value, dict):
        for key, item in value.items():
            if key.lower() == part:
                return item
    raise PatternError(text, token.position, f"`{token.name}`: there is no property `{part}`")


def _to_text(value: Json, text: str, token: Expression) -> str:
    match value:
        case str():
            return value
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case int() | float():
            return str(value)
        case _:
            raise PatternError(text, token.position, f"`{token.name}` is an object or a list, not a text")


def _now(format_text: str) -> str:
    return format_datetime(datetime.now(timezone.utc), format_text or _DEFAULT_DATE_FORMAT)


def _guid(format_text: str) -> str:
    return format_guid(uuid4(), format_text)


_BUILTINS: Mapping[str, Callable[[str], str]] = {
    "datetime": _now,
    "rand-guid": _guid,
    "sys.utcnow": _now,
    "sys.randguid": _guid,
}
