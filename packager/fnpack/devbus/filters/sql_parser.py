"""Parses SQL filter and action expressions. The grammar is the common part of Microsoft's documented one."""

from __future__ import annotations

from collections.abc import Callable

from fnpack.devbus.amqp.types import Value
from fnpack.devbus.filters.sql_expressions import (
    AllOf,
    Among,
    AnyOf,
    Arithmetic,
    Comparison,
    Exists,
    Expression,
    IsNull,
    Like,
    Literal,
    Negative,
    Not,
    Property,
)
from fnpack.devbus.filters.sql_tokens import SqlFilterError, Token, tokens_of

MAX_NESTING = 32
_COMPARISONS = {"=": "=", "<>": "<>", "!=": "<>", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_CONSTANTS: dict[str, Value] = {"TRUE": True, "FALSE": False, "NULL": None}
_RESERVED = frozenset(
    ("AND", "OR", "NOT", "IN", "LIKE", "ESCAPE", "IS", "NULL", "EXISTS", *_CONSTANTS, "SET", "REMOVE")
)


class SqlParser:
    """Reads one expression from the left. Every fault is a SqlFilterError with its position."""

    def __init__(self, expression: str, parameters: dict[str, Value] | None = None) -> None:
        self._expression = expression
        self._tokens = tokens_of(expression)
        self._next = 0
        self._depth = 0
        self._parameters = {name.casefold(): value for name, value in (parameters or {}).items()}

    def condition(self) -> Expression:
        """`a OR b`."""
        return self._chain("OR", self._conjunction, AnyOf)

    def value(self) -> Expression:
        """`a + b`."""
        return self._arithmetic(("+", "-"), lambda: self._arithmetic(("*", "/", "%"), self._unary))

    def property(self) -> Property:
        """`name`, `user.name`, `sys.name`, quoted or not."""
        token = self._take_name()
        scope = token.text.casefold() if token.kind == "name" else ""
        if scope in ("sys", "user") and self.skip_if("."):
            return Property(self._take_name().text, scope == "sys")
        return Property(token.text)

    def skip_if(self, *words: str) -> str | None:
        """Step over the next token if it is one of these: which."""
        token = self._tokens[self._next]
        if not token.is_word(*words):
            return None
        self._next += 1
        return token.text.upper()

    def require(self, word: str) -> None:
        """Step over this keyword or operator."""
        if not self.skip_if(word):
            raise self.fault(f"`{word}` is missing")

    def at_end(self) -> bool:
        """Whether all is read."""
        return self._tokens[self._next].kind == "end"

    def fault(self, what: str) -> SqlFilterError:
        """A fault at the next token."""
        return SqlFilterError(self._expression, self._tokens[self._next].position, what)

    def _chain(
        self, word: str, part: Callable[[], Expression], join: Callable[[tuple[Expression, ...]], Expression]
    ) -> Expression:
        parts = [part()]
        while self.skip_if(word):
            parts.append(part())
        return join(tuple(parts)) if len(parts) > 1 else parts[0]

    def _conjunction(self) -> Expression:
        return self._chain("AND", self._negation, AllOf)

    def _negation(self) -> Expression:
        negative = False
        while self.skip_if("NOT"):
            negative = not negative
        inner = self._predicate()
        return Not(inner) if negative else inner

    def _predicate(self) -> Expression:
        left = self.value()
        operator = self.skip_if(*_COMPARISONS)
        if operator:
            return Comparison(_COMPARISONS[operator], left, self.value())
        if self.skip_if("IS"):
            negative = self.skip_if("NOT")
            self.require("NULL")
            return Not(IsNull(left)) if negative else IsNull(left)
        negative = self.skip_if("NOT")
        if self.skip_if("IN"):
            return _unless(negative, Among(left, self._choices()))
        if self.skip_if("LIKE"):
            return _unless(negative, self._like(left))
        if negative:
            raise self.fault("`IN` or `LIKE` is missing")
        return left

    def _choices(self) -> list[Expression]:
        self.require("(")
        choices = [self.value()]
        while self.skip_if(","):
            choices.append(self.value())
        self.require(")")
        return choices

    def _like(self, left: Expression) -> Expression:
        pattern = self.value()
        if not self.skip_if("ESCAPE"):
            return Like(left, pattern)
        token = self._tokens[self._next]
        if token.kind != "text" or len(token.text) != 1:
            raise self.fault("ESCAPE wants one character in quotes")
        self._next += 1
        return Like(left, pattern, token.text)

    def _arithmetic(self, operators: tuple[str, ...], part: Callable[[], Expression]) -> Expression:
        first, rest = part(), []
        while operator := self.skip_if(*operators):
            rest.append((operator, part()))
        return Arithmetic(first, tuple(rest)) if rest else first

    def _unary(self) -> Expression:
        negative = False
        while sign := self.skip_if("-", "+"):
            negative ^= sign == "-"
        inner = self._primary()
        return Negative(inner) if negative else inner

    def _primary(self) -> Expression:
        token = self._tokens[self._next]
        if self.skip_if("("):
            self._depth += 1
            if self._depth > MAX_NESTING:
                raise self.fault("brackets are nested too deeply")
            inner = self.condition()
            self._depth -= 1
            self.require(")")
            return inner
        if self.skip_if("EXISTS"):
            self.require("(")
            found = self.property()
            self.require(")")
            return Exists(found)
        word = token.text.upper() if token.kind == "name" else ""
        if token.kind in ("text", "number") or word in _CONSTANTS:
            self._next += 1
            return Literal(_CONSTANTS[word] if word else _literal(token))
        if word in ("P", "PROPERTY") and self._tokens[self._next + 1].is_word("("):
            return self._property_function()
        if word.startswith("@"):
            return self._parameter(token)
        return self.property()

    def _property_function(self) -> Property:
        self._next += 2
        token = self._tokens[self._next]
        if token.kind != "text":
            raise self.fault("a property name in quotes is missing")
        self._next += 1
        self.require(")")
        return Property(token.text)

    def _parameter(self, token: Token) -> Literal:
        if token.text.casefold() not in self._parameters:
            raise self.fault(f"the parameter `{token.text}` is not given")
        self._next += 1
        return Literal(self._parameters[token.text.casefold()])

    def _take_name(self) -> Token:
        token = self._tokens[self._next]
        if token.kind == "quoted name" or (token.kind == "name" and token.text.upper() not in _RESERVED):
            self._next += 1
            return token
        raise self.fault("a property name or a value is missing")


def parse_condition(expression: str, parameters: dict[str, Value] | None = None) -> Expression:
    """The condition of a SQL filter. Raises SqlFilterError."""
    parser = SqlParser(expression, parameters)
    found = parser.condition()
    if not parser.at_end():
        raise parser.fault("the expression should end here")
    return found


def _unless(negative: str | None, expression: Expression) -> Expression:
    return Not(expression) if negative else expression


def _literal(token: Token) -> Value:
    if token.kind == "text":
        return token.text
    if token.text[:2] in ("0x", "0X"):
        return int(token.text, 16)
    return int(token.text) if token.text.isdigit() else float(token.text)
