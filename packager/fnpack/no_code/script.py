"""Makes the entry script of a model that has none: a template, with what was found out about the model at its top."""

from __future__ import annotations

import hashlib
import pprint
import re
from contextlib import suppress
from pathlib import Path

from fnpack.atomic_file import replacing
from fnpack.cache_folder import cache_folder
from fnpack.full_disk import told_full_disk
from fnpack.no_code.found import Found
from fnpack.templates import template
from fnpack.usable_cache import usable_cache

NAME = "score.py"
_WIDTH = 108


def script_for(found: Found, inner: str) -> str:
    """The text of the script. `inner` is the model's path below the folder of its version in the app."""
    text = template("no_code", f"{found.script}.py")
    for name, value in {"MODEL": inner, **found.facts}.items():
        line = re.search(rf"^({name}(?:: .+?)?) = .*$", text, re.MULTILINE)
        if line is None:  # cannot be: the templates have the names of the facts
            raise AssertionError(f"{found.script} has no line that begins with {name}")
        text = text[: line.start()] + _assigned(line[1], value) + text[line.end() :]
    about = "".join(one if one.isprintable() else "?" for one in f"{inner}: {found.title}")
    return f"# {about}.\n# Made by fnpack: keep it as {NAME} and change it as you like.\n{text}"


def kept(text: str) -> Path:
    """The script as a file in fnpack's cache; the same text is always the same file."""
    usable_cache()
    path = cache_folder() / "no-code" / hashlib.sha256(text.encode()).hexdigest()[:32] / NAME
    with suppress(OSError):
        if path.read_text("utf-8") == text:
            return path
    with told_full_disk(path.parent), replacing(path, 0o666) as file:
        file.write(text.encode())
    return path


def _assigned(start: str, value: object) -> str:
    line = f"{start} = {value!r}"
    if len(line) <= _WIDTH:
        return line
    return f"{start} = {pprint.pformat(value, width=_WIDTH, compact=True, sort_dicts=False)}"
