"""Reads configuration files as text and shows where in them a fault lies."""

from __future__ import annotations

import codecs
from pathlib import Path

from fnpack.config import redact
from fnpack.config.suggest import names_near
from fnpack.errors import ConfigurationFileError, Problem

_WIDTH = 100  # characters of a faulty line that are shown


def label(path: Path) -> str:
    """How messages name a file: relative to the working directory if it is inside, else in full."""
    try:
        return path.absolute().relative_to(Path.cwd()).as_posix()
    except (ValueError, OSError):
        return str(path)


def read_text(path: Path) -> str:
    """The text of a UTF-8 file, with or without a byte order mark. Raises ConfigurationFileError."""
    try:
        data = path.read_bytes()
    except (OSError, ValueError) as exc:
        raise ConfigurationFileError([_unreadable(path, exc)]) from exc
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        problem = Problem(label(path), "the file is UTF-16", "save it as UTF-8")
        raise ConfigurationFileError([problem])
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        line = data.count(b"\n", 0, exc.start) + 1
        what = f"line {line} holds the byte 0x{data[exc.start]:02x}, which is not UTF-8 text"
        raise ConfigurationFileError([Problem(label(path), what, "save the file as UTF-8")]) from exc


def line_and_column(text: str, position: int) -> tuple[int, int]:
    """Line and column of an offset, both from 1."""
    return text.count("\n", 0, position) + 1, position - (text.rfind("\n", 0, position) + 1) + 1


def excerpt(text: str, position: int) -> tuple[str, str]:
    """The line around an offset, with its number and secrets masked, and a caret below the offset."""
    number, column = line_and_column(text, position)
    start = position - column + 1
    end = text.find("\n", position)
    end = len(text) if end < 0 else end
    first = max(start, min(position, end) - _WIDTH // 2)
    last = min(end, first + _WIDTH)
    lead = f"{number} | " + ("..." if first > start else "")
    tail = "..." if last < end else ""
    before = redact.shown(text, first, position).replace("\t", " ").rstrip("\r")
    line = redact.shown(text, first, last).replace("\t", " ").rstrip("\r")
    return lead + line + tail, " " * (len(lead) + len(before)) + "^"


def _unreadable(path: Path, exc: Exception) -> Problem:
    if isinstance(exc, FileNotFoundError):
        return Problem(label(path), "there is no such file", names_near(path))
    if isinstance(exc, IsADirectoryError):
        return Problem(label(path), "this is a folder, not a file")
    reason = exc.strerror if isinstance(exc, OSError) and exc.strerror else "it cannot be opened"
    return Problem(label(path), f"the file cannot be read: {reason.lower()}")
