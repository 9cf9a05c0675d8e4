"""Counts the brackets of a JSON text up to a place: which are open there, and where."""

from __future__ import annotations

from typing import NamedTuple


class Bracket(NamedTuple):
    """An opening bracket and its offset."""

    char: str
    position: int


class Brackets(NamedTuple):
    """What is open at the end of a scan. `string_start` is the offset of a text's opening quote.

    `suspect` is a bracket that ought to have been closed earlier, as the indentation of a later closing one says.
    """

    open: tuple[Bracket, ...]
    string_start: int | None
    suspect: Bracket | None


def scan(text: str, end: int) -> Brackets:
    """The brackets open at offset `end`; those within texts do not count."""
    stack: list[Bracket] = []
    suspect: Bracket | None = None
    string_start: int | None = None
    position = 0
    while position < end:
        char = text[position]
        if string_start is not None:
            if char == "\\":
                position += 1
            elif char == '"':
                string_start = None
        elif char == '"':
            string_start = position
        elif char in "{[":
            stack.append(Bracket(char, position))
        elif char in "}]" and stack:
            opened = stack.pop()
            if suspect is None and _indented_deeper(text, opened.position, position):
                suspect = opened
        position += 1
    return Brackets(tuple(stack), string_start, suspect)


def _indented_deeper(text: str, opened: int, closed: int) -> bool:
    """Whether a closing bracket begins its line further left than the line of the bracket that it closes."""
    close_line = text[text.rfind("\n", 0, closed) + 1 : closed]
    open_line = text[text.rfind("\n", 0, opened) + 1 : opened]
    if close_line.strip() or "\n" not in text[opened:closed]:
        return False
    return len(close_line) < len(open_line) - len(open_line.lstrip())
