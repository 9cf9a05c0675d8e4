"""The commands that packages bring: `bin/NAME` below site-packages, which is where `pip install --target` puts them.

Source: the entry points specification and the binary distribution format (PyPA).
"""

from __future__ import annotations

import re

_PYTHON = b"#!/usr/bin/env python3"  # the image's; where it is, only its search path tells
_OBJECT = re.compile(r"([A-Za-z_][\w.]*)\s*:\s*([A-Za-z_][\w.]*)\s*(?:\[[^\]]*\])?")
_NAME = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_.+-]*")
_SCRIPT_LINE = re.compile(rb"#!python[w]?(?=[ \t\r\n]|$)[^\n]*")
_COMMAND = """{python}
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from {module} import {first}

sys.exit({attribute}())
"""


def command_names(entry_points: str) -> dict[str, str]:
    """`module:function` by command, out of an entry_points.txt. Raises ValueError for one that is none."""
    import configparser

    parser = configparser.RawConfigParser(delimiters=("=",), interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]  # names keep their case
    try:
        parser.read_string(entry_points)
    except configparser.Error as error:
        raise ValueError(str(error).splitlines()[0]) from error
    sections = [name for name in ("console_scripts", "gui_scripts") if parser.has_section(name)]
    found = {name: text for section in sections for name, text in parser.items(section)}
    for name, text in found.items():
        if not _NAME.fullmatch(name) or set(name) == {"."} or not _OBJECT.fullmatch(text.strip()):
            raise ValueError(f"`{name} = {text}`")
    return found


def command(target: str) -> bytes:
    """The script that calls `module:function` of the packages that it lies beside."""
    match = _OBJECT.fullmatch(target.strip())
    assert match is not None  # as command_names has seen
    module, attribute = match.groups()
    first = attribute.partition(".")[0]
    return _COMMAND.format(python=_PYTHON.decode(), module=module, first=first, attribute=attribute).encode()


def for_image(script: bytes) -> bytes:
    """A wheel's own script, run by the image's Python where it wants a Python."""
    return _SCRIPT_LINE.sub(_PYTHON, script, count=1) if script.startswith(b"#!python") else script
