"""Route templates: `items/{id:int}/file-{name}.{ext?}/{*rest}`, read and matched as ASP.NET Core does.

Matching looks at each segment once, from its end, and never backtracks: a hostile path costs its length.
Source: ASP.NET Core Routing (RoutePatternParser, RoutePatternMatcher, RoutePrecedence), which Azure Functions uses.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fnpack_host.http.constraints import Constraint
from fnpack_triggers.errors import BindingError


class TemplateError(BindingError):
    """A route template cannot be read."""

    code = "FN231"

    def __init__(self, template: str, reason: str) -> None:
        super().__init__(f"route `{template}`: {reason}")


@dataclass(frozen=True, slots=True)
class Parameter:
    """`{name:constraint=default}`; absent values give no entry, unless there is a default."""

    name: str
    constraints: tuple[Constraint, ...] = ()
    default: str | None = None
    is_optional: bool = False
    is_catch_all: bool = False


Part = str | Parameter  # a string is literal text
Segment = tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Template:
    """A route template. `precedence` sorts before another's where this one is more specific."""

    text: str
    segments: tuple[Segment, ...]

    @property
    def is_literal(self) -> bool:
        """Whether it matches one path only."""
        return all(len(segment) == 1 and isinstance(segment[0], str) for segment in self.segments)

    @property
    def literal(self) -> str:
        """The path of a template without parameters, lower-cased, without slashes at its ends."""
        return "/".join(str(segment[0]) for segment in self.segments).lower()

    @property
    def precedence(self) -> tuple[int, ...]:
        """One digit per segment: 1 literal, 2 constrained or mixed, 3 parameter, 4 and 5 catch-all."""
        return tuple(_digit(segment) for segment in self.segments)

    def match(self, path: str) -> dict[str, str] | None:
        """The route values of a decoded path, or None where it does not match."""
        values: dict[str, str] = {}
        position, number = 1, 0  # after the leading slash
        while position < len(path):
            if number == len(self.segments) or path[position] == "/":
                return None
            segment = self.segments[number]
            number += 1
            only = segment[0]
            if isinstance(only, Parameter) and only.is_catch_all:
                values[only.name] = path[position:]
                break
            end = path.find("/", position)
            end = len(path) if end < 0 else end
            if not _match_segment(segment, path[position:end], values):
                return None
            position = end + 1
        return self._complete(values, number)

    def _complete(self, values: dict[str, str], number: int) -> dict[str, str] | None:
        """Fill in what the path leaves out, then ask the constraints."""
        for segment in self.segments[number:]:
            only = segment[0]
            if len(segment) > 1 or isinstance(only, str):
                return None
            if only.default is None and not only.is_optional and not only.is_catch_all:
                return None
        for segment in self.segments:
            for part in segment:
                if isinstance(part, Parameter) and not _accepted(part, values):
                    return None
        return values


def _accepted(part: Parameter, values: dict[str, str]) -> bool:
    if part.name not in values and part.default is not None:
        values[part.name] = part.default
    value = values.get(part.name)
    if value is None:
        return part.is_optional or not part.constraints
    return all(accepts(value) for accepts in part.constraints)


def _match_segment(segment: Segment, text: str, values: dict[str, str]) -> bool:
    if len(segment) == 1:
        only = segment[0]
        if isinstance(only, str):
            return only.lower() == text.lower()
        values[only.name] = text
        return True
    found = match_parts(segment, text)
    last = segment[-1]
    if found is None and isinstance(last, Parameter) and last.is_optional and not text.endswith("."):
        found = match_parts(segment[:-2], text)  # without `.{ext?}`
    if found is None:
        return False
    values.update(found)
    return True


def match_parts(parts: Segment, text: str) -> Mapping[str, str] | None:
    """Match literals and parameters that share a segment: from the end, each literal at its last place.

    No parameter is empty.
    """
    folded = text.lower() if len(text.lower()) == len(text) else text
    values: dict[str, str] = {}
    end, waiting = len(text), ""
    for part in reversed(parts):
        if isinstance(part, Parameter):
            waiting = part.name
            continue
        literal = part.lower()
        start = folded.rfind(literal, 0, max(0, end - 1) if waiting else end)
        if start < 0 or (not waiting and start + len(literal) != end):
            return None
        if waiting:
            values[waiting] = text[start + len(literal) : end]
            waiting = ""
        end = start
    if waiting:
        values[waiting] = text[:end]
    return values if (end > 0) == bool(waiting) else None


def _digit(segment: Segment) -> int:
    only = segment[0]
    if len(segment) > 1:
        return 2
    if isinstance(only, str):
        return 1
    return (5 if only.is_catch_all else 3) - bool(only.constraints)
