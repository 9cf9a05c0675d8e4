"""Reads the text of a route template into segments. What is not allowed is said with the template and the reason."""

from __future__ import annotations

from collections.abc import Iterable

from fnpack_host.http.constraints import ConstraintError, constraint
from fnpack_host.http.templates import Parameter, Part, Segment, Template, TemplateError

_NOT_IN_NAMES = frozenset("/{}?*")


def parse_template(template: str) -> Template:
    """Read a route template. Raises TemplateError."""
    text = template
    if text.startswith("~"):
        if not text.startswith("~/"):
            raise TemplateError(template, "`~` must be followed by `/`")
        text = text[1:]
    text = text.removeprefix("/")
    if text.startswith("/") or "//" in _outside_braces(text):
        raise TemplateError(template, "`/` stands twice in a row")
    text = text.removesuffix("/")
    segments = tuple(_segment(template, piece) for piece in _split(template, text)) if text else ()
    _check(template, segments)
    return Template(template, segments)


def _split(template: str, text: str) -> list[list[Part]]:
    """Parts by segment."""
    segments: list[list[Part]] = [[]]
    literal, position = "", 0
    while position < len(text):
        character = text[position]
        if character in "{}" and text[position : position + 2] == character * 2:
            literal, position = literal + character, position + 2
        elif character == "{":
            _add_literal(template, segments[-1], literal)
            end = _closing(template, text, position + 1)
            segments[-1].append(_parameter(template, text[position + 1 : end]))
            literal, position = "", end + 1
        elif character == "}":
            raise TemplateError(template, f"a `}}` at character {position + 1} closes nothing")
        elif character == "/":
            _add_literal(template, segments[-1], literal)
            segments.append([])
            literal, position = "", position + 1
        else:
            literal, position = literal + character, position + 1
    _add_literal(template, segments[-1], literal)
    return segments


def _add_literal(template: str, parts: list[Part], literal: str) -> None:
    if "?" in literal:
        raise TemplateError(template, f"the text `{literal}` holds a `?`, which no path can hold")
    if literal:
        parts.append(literal)


def _closing(template: str, text: str, position: int) -> int:
    """Where the brace closes that was opened just before `position`; doubled braces are text."""
    while position < len(text):
        character = text[position]
        if character in "{}":
            if text[position : position + 2] == character * 2:
                position += 2
                continue
            if character == "}":
                return position
            break
        position += 1
    raise TemplateError(template, "a `{` is not closed")


def _parameter(template: str, raw: str) -> Parameter:
    text = raw.replace("}}", "}").replace("{{", "{")
    stars = 2 if text.startswith("**") else int(text.startswith("*"))
    text = text[stars:]
    is_optional = text.endswith("?")
    text = text.removesuffix("?")
    # A name may begin with `:` or `=`, as in ASP.NET.
    end = min((at for at in (text.find(":", 1), text.find("=", 1)) if at > 0), default=len(text))
    name = text[:end]
    if not name or _NOT_IN_NAMES & set(name):
        raise TemplateError(template, f"`{{{raw}}}` has no usable parameter name")
    texts, end = _constraint_texts(text, end)
    try:
        constraints = tuple(constraint(one) for one in texts)
    except ConstraintError as error:
        raise TemplateError(template, str(error)) from error
    default = text[end + 1 :] if end < len(text) else None
    if is_optional and stars:
        raise TemplateError(template, f"the catch-all parameter `{name}` cannot be optional")
    if is_optional and default is not None:
        raise TemplateError(template, f"the optional parameter `{name}` cannot have a default")
    return Parameter(name, constraints, default, is_optional, bool(stars))


def _constraint_texts(text: str, position: int) -> tuple[list[str], int]:
    """`:int:max(3)=7` from `position` on: the constraints, and where the default's `=` stands (or the end)."""
    found = []
    while position < len(text) and text[position] == ":":
        start = position + 1
        position = _constraint_end(text, start)
        if position > start:
            found.append(text[start:position])
    return found, position


def _constraint_end(text: str, position: int) -> int:
    in_parentheses = False
    while position < len(text):
        character = text[position]
        if in_parentheses:
            if character == ")" and text[position + 1 : position + 2] in ("", ":", "="):
                return position + 1
        elif character == "(" and ")" in text[position:]:
            in_parentheses = True
        elif character in ":=":
            return position
        position += 1
    return position


def _segment(template: str, parts: list[Part]) -> Segment:
    for number, part in enumerate(parts[1:], start=1):
        before = parts[number - 1]
        if isinstance(part, Parameter) and isinstance(before, Parameter):
            raise TemplateError(template, f"`{before.name}` and `{part.name}` have no text between them")
    for number, part in enumerate(parts):
        if len(parts) == 1 or isinstance(part, str):
            continue
        if part.is_catch_all:
            raise TemplateError(
                template, f"the catch-all parameter `{part.name}` must stand alone in its segment"
            )
        if part.is_optional and (number != len(parts) - 1 or parts[number - 1] != "."):
            raise TemplateError(
                template,
                f"the optional parameter `{part.name}` may share a segment only at its end, after a dot",
            )
    return tuple(parts)


def _check(template: str, segments: tuple[Segment, ...]) -> None:
    names = [part.name.lower() for part in _parameters(segments)]
    for name in names:
        if names.count(name) > 1:
            raise TemplateError(template, f"the parameter `{name}` stands twice")
    for segment in segments[:-1]:
        if isinstance(segment[0], Parameter) and segment[0].is_catch_all:
            raise TemplateError(template, f"the catch-all parameter `{segment[0].name}` must be last")


def _parameters(segments: Iterable[Segment]) -> list[Parameter]:
    return [part for segment in segments for part in segment if isinstance(part, Parameter)]


def _outside_braces(text: str) -> str:
    """`text` without what stands in braces, where slashes belong to constraints."""
    kept, depth = "", 0
    for character in text:
        depth += (character == "{") - (character == "}")
        kept += character if depth <= 0 else "."
    return kept
