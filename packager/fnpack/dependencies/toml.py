"""Writes TOML as lock files need it: plain values, one level of tables, one array of tables. Reading is tomllib's."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module

_BARE = re.compile(r"^[A-Za-z0-9_-]+$")
_ONE_LINE = 100


def loads(text: str) -> dict[str, object]:
    """Parse TOML. Raises ValueError, whose text names line and column."""
    module = import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    data: dict[str, object] = module.loads(text)
    return data


def table(name: str, values: Mapping[str, object]) -> str:
    """`[name]` and a line for each value; an empty name for the document's own values."""
    head = f"[{name}]\n" if name else ""
    return head + "".join(f"{_key(key)} = {_value(value)}\n" for key, value in values.items())


def array_entry(name: str, values: Mapping[str, object]) -> str:
    """`[[name]]` and a line for each value."""
    return f"[[{name}]]\n{table('', values)}"


def _value(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case Mapping():
            pairs = ", ".join(f"{_key(str(key))} = {_value(item)}" for key, item in value.items())
            return f"{{ {pairs} }}" if pairs else "{}"
        case str():
            # JSON's escapes are TOML's, but for DEL.
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        case Sequence():
            items = [_value(item) for item in value]
            line = f"[{', '.join(items)}]"
            if len(line) <= _ONE_LINE or len(items) < 2:
                return line
            return "[\n" + "".join(f"    {item},\n" for item in items) + "]"
    raise TypeError(f"{type(value).__name__} has no place in a lock file")


def _key(key: str) -> str:
    return key if _BARE.match(key) else json.dumps(key, ensure_ascii=False)
