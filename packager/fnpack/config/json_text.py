"""Parses JSON that people write by hand: on a fault it says where, why, and what to type.

Slips with one obvious mending (a comma too few or too many) are mended in a copy of the text, so that the faults after
them are found too. The mended copy is never used as configuration.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from fnpack.config import redact
from fnpack.config.brackets import Brackets, scan
from fnpack.config.files import excerpt, label, line_and_column, read_text
from fnpack.config.problems import Problems
from fnpack.errors import ConfigurationSyntaxError, Problem
from fnpack_triggers.base import Json

_MOST_FAULTS = 20
_CLOSING = {"{": "}", "[": "]"}


class Fault(NamedTuple):
    """A fault in a JSON text. `mended` is the whole text with this fault repaired, offsets unchanged."""

    position: int
    what: str
    suggestion: str | None = None
    mended: str | None = None


def read_json_object(path: Path, problems: Problems) -> dict[str, Json]:
    """The object in a JSON file. Keys given twice are noted in `problems`.

    Raises ConfigurationFileError if the file cannot be read, ConfigurationSyntaxError if it is not a JSON object.
    """
    return parse_json_object(read_text(path), label(path), problems)


def parse_json_object(text: str, name: str, problems: Problems) -> dict[str, Json]:
    """The object in a JSON text; `name` names it in messages. Raises ConfigurationSyntaxError."""
    if not text.strip():
        raise ConfigurationSyntaxError(
            [Problem(name, "the file is empty", "it must hold a JSON object, `{ ... }`")]
        )

    def without_doubles(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
        found = dict(pairs)
        if len(found) < len(pairs):
            keys = [key for key, _ in pairs]
            for key in sorted({key for key in keys if keys.count(key) > 1}):
                problems.add(name, f"the key `{key}` is given twice in one object", "keep one of them")
        return found

    try:
        value: Json = json.loads(text, object_pairs_hook=without_doubles)
    except json.JSONDecodeError as exc:
        raise ConfigurationSyntaxError(_explain(text, name, exc)) from None
    except RecursionError:
        raise ConfigurationSyntaxError([Problem(name, "the JSON is nested too deeply")]) from None
    except ValueError as exc:  # a number of thousands of digits
        raise ConfigurationSyntaxError([Problem(name, "a number is too long")]) from exc
    if not isinstance(value, dict):
        raise ConfigurationSyntaxError(
            [Problem(name, "the file must hold a JSON object", "begin it with `{`")]
        )
    return value


def _explain(text: str, name: str, first: json.JSONDecodeError) -> list[Problem]:
    """One problem for each fault that can be told apart."""
    problems: list[Problem] = []
    copy, error = text, first
    for _ in range(_MOST_FAULTS):
        fault = _fault(copy, error)
        problems.append(_problem(text, name, fault))
        if fault.mended is None:
            break
        copy = fault.mended
        try:
            json.loads(copy)
        except json.JSONDecodeError as exc:
            error = exc
        except (RecursionError, ValueError):
            break
        else:
            break
    return problems


def _problem(text: str, name: str, fault: Fault) -> Problem:
    line, column = line_and_column(text, fault.position)
    where = f"{name}: line {line}, column {column}"
    return Problem(where, fault.what, fault.suggestion, excerpt(text, fault.position))


def _fault(text: str, error: json.JSONDecodeError) -> Fault:  # the cases of one table
    """What is wrong at the place where the parser stopped."""
    at = error.pos
    brackets = scan(text, at)
    before = len(text[:at].rstrip()) - 1  # the last character that was fine
    char = text[at : at + 1]
    match error.msg:
        case "Invalid control character at":
            start = brackets.string_start if brackets.string_start is not None else at
            return Fault(start, "this text is not closed on its line", 'add the missing `"`')
        case "Unterminated string starting at":
            return Fault(at, "this text is never closed", 'add the missing `"`')
        case message if "\\" in message:
            return Fault(at, "a single `\\` has a meaning of its own in JSON", "write `/` or `\\\\` instead")
    if not text[at:].strip():
        return _ends_early(text, brackets, before)
    if text.startswith(("//", "/*", "#"), at):
        return Fault(at, "JSON has no comments", "remove it")
    if char in "}]" and brackets.open and char != _CLOSING[brackets.open[-1].char]:
        return _wrong_closing(text, brackets, at)
    trailing = _trailing_comma(text, at, before)
    if trailing is not None:
        return Fault(
            trailing, "there is a comma after the last entry", "remove it", _put(text, trailing, " ")
        )
    match error.msg:
        case "Extra data":
            what = (
                f"`{char}` closes nothing" if char in "}]" else "something follows the end of the JSON object"
            )
            return Fault(at, what, "remove it")
        case "Expecting ',' delimiter" if char in '"{[-0123456789tfn':
            return _missing_comma(text, at, before)
        case "Expecting ':' delimiter":
            return Fault(
                at, f"a colon is missing after the key {_token(text, before)}", 'write `"key": value`'
            )
    return _bad_word(text, at)


def _ends_early(text: str, brackets: Brackets, before: int) -> Fault:
    """The text stops although brackets are open: say which, and what closes them."""
    if not brackets.open:
        return Fault(max(before, 0), "the file ends too early", "add the missing value")
    closing = "".join(_CLOSING[bracket.char] for bracket in reversed(brackets.open))
    opened = ", ".join(
        f"`{bracket.char}` of line {line_and_column(text, bracket.position)[0]}" for bracket in brackets.open
    )
    verb = "is" if len(brackets.open) == 1 else "are"
    what = f"the file ends, but {opened} {verb} never closed"
    suggestion = f"add `{closing}` at the end"
    suspect = brackets.suspect
    if suspect is not None:
        line = line_and_column(text, suspect.position)[0]
        need = _CLOSING[suspect.char]
        suggestion = f"add `{need}`; the indentation says: for the `{suspect.char}` of line {line}"
    mended = text + closing if text[before] not in ",:" else None
    return Fault(before, what, suggestion, mended)


def _wrong_closing(text: str, brackets: Brackets, at: int) -> Fault:
    last = brackets.open[-1]
    line, column = line_and_column(text, last.position)
    need = _CLOSING[last.char]
    what = f"`{text[at]}` does not close the `{last.char}` of line {line}, column {column}"
    return Fault(at, what, f"add the missing `{need}` before it, or write `{need}` in its place")


def _trailing_comma(text: str, at: int, before: int) -> int | None:
    """The offset of a comma before a closing bracket. Python 3.13 stops at the comma, older ones after it."""
    if text[at] == "," and text[at + 1 :].lstrip()[:1] in ("}", "]"):
        return at
    return before if text[at] in "}]" and before >= 0 and text[before] == "," else None


def _missing_comma(text: str, at: int, before: int) -> Fault:
    what = f"a comma is missing after {_token(text, before)}"
    mended = _put(text, at - 1, ",") if text[at - 1].isspace() else None
    return Fault(before + 1, what, "add `,` here", mended)


def _bad_word(text: str, at: int) -> Fault:
    rest = text[at:]
    for word, right in (("True", "true"), ("False", "false"), ("None", "null"), ("undefined", "null")):
        if rest.startswith(word):
            return Fault(at, f"`{word}` is not JSON", f"write `{right}`")
    if rest[0] in "'`\u201c\u201d\u2018\u2019":
        return Fault(at, 'JSON wants straight double quotes, `"`', 'write `"` here and at the other end')
    if rest[0] == ",":
        return Fault(at, "there is a comma, but no entry before it", "remove it, or add what is missing")
    if rest[0] in "}]:":
        return Fault(at, f"a value is missing before `{rest[0]}`", "add it, or `null`")
    if rest[0].isalpha() or rest[0] == "_":
        return Fault(at, "text needs double quotes around it", 'write `"..."`')
    return Fault(at, f"`{rest[0]}` cannot stand here")


def _token(text: str, last: int) -> str:
    """The token that ends at offset `last`, for a sentence, without secrets."""
    if text[last] in "}]":
        return f"the `{text[last]}` of line {line_and_column(text, last)[0]}"
    start = text.rfind("\n", 0, last) + 1
    if text[last] == '"':
        opening = last - 1
        while opening > start and (text[opening] != '"' or text[opening - 1] == "\\"):
            opening -= 1
        start = opening
    else:
        start = max((text.rfind(char, start, last) + 1 for char in " ,:[{\t"), default=start)
    return f"`{redact.shown(text, start, last + 1)}`"


def _put(text: str, position: int, char: str) -> str:
    return text[:position] + char + text[position + 1 :]
