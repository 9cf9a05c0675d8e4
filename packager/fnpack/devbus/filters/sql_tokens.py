"""Cuts SQL filter expressions into tokens."""

from __future__ import annotations

import re
from dataclasses import dataclass

from fnpack_triggers.errors import ServiceError

MAX_EXPRESSION_CHARACTERS = 1024  # the service's own limit


class SqlFilterError(ServiceError):
    """A SQL filter or action that cannot be parsed; says where."""

    code = "FN561"

    def __init__(self, expression: str, position: int, what: str) -> None:
        super().__init__(f"SQL filter `{expression[:120]}`: {what} at character {position + 1}")
        self.expression, self.position, self.what = expression, position, what


@dataclass(frozen=True, slots=True)
class Token:
    """A token: `name`, `quoted name`, `text`, `number`, `operator`, or `end`. Texts are without their quotes."""

    kind: str
    text: str
    position: int

    def is_word(self, *words: str) -> bool:
        """Whether this is one of these keywords or operators."""
        return self.kind in ("name", "operator") and self.text.upper() in words


_TOKEN = re.compile(
    r"""
    (?P<space>\s+)
  | (?P<number>0[xX][0-9A-Fa-f]+ | (?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)
  | (?P<text>'(?:[^']|'')*')
  | (?P<quoted>"(?:[^"]|"")*" | \[(?:[^\]]|\]\])*\])
  | (?P<name>[A-Za-z_@\#$][A-Za-z0-9_@\#$-]*)
  | (?P<operator><>|!=|<=|>=|[=<>()+\-*/%,.;])
    """,
    re.VERBOSE,
)


def tokens_of(expression: str) -> list[Token]:
    """The tokens, the last of kind `end`. Raises SqlFilterError."""
    if len(expression) > MAX_EXPRESSION_CHARACTERS:
        limit = MAX_EXPRESSION_CHARACTERS
        raise SqlFilterError(expression, limit, f"the expression is longer than {limit} characters")
    found: list[Token] = []
    position = 0
    while position < len(expression):
        match = _TOKEN.match(expression, position)
        if match is None:
            what = (
                "this text is not closed"
                if expression[position] in "'\"["
                else "this character means nothing here"
            )
            raise SqlFilterError(expression, position, what)
        kind, text = match.lastgroup or "", match.group()
        if kind == "text":
            found.append(Token("text", text[1:-1].replace("''", "'"), position))
        elif kind == "quoted":
            closing = "]" if text[0] == "[" else '"'
            found.append(Token("quoted name", text[1:-1].replace(closing * 2, closing), position))
        elif kind != "space":
            found.append(Token(kind, text, position))
        position = match.end()
    return [*found, Token("end", "", len(expression))]
