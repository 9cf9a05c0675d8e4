"""Reads a project's settings (`fnpack.toml` or `[tool.fnpack]`) and merges them with variables and flags."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from fnpack.config.files import excerpt, label, read_text
from fnpack.config.options import OPTIONS, Option, Rank, Setting, Value
from fnpack.config.problems import Problems
from fnpack.config.section import Section
from fnpack.config.suggest import did_you_mean
from fnpack.errors import ConfigurationError, ConfigurationSyntaxError, Problem

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # type: ignore[import-not-found, unused-ignore]

OWN_FILE = "fnpack.toml"
SHARED_FILE = "pyproject.toml"
_ON, _OFF = ("1", "true", "yes", "on"), ("0", "false", "no", "off")


class ProjectSettings(NamedTuple):
    """What a project's file says, by option name; `file` is None when no file holds settings."""

    values: Mapping[str, Setting] = {}
    file: Path | None = None


class RawSettings(NamedTuple):
    """The winning value of each option that was given anywhere. `cwd` is for defaults that are paths."""

    values: Mapping[str, Setting]
    cwd: Path

    def get(self, name: str) -> Setting | None:
        """The setting of an option, or None when nobody gave one."""
        return self.values.get(name)

    def text(self, name: str) -> str | None:
        """The value of a text option."""
        setting = self.values.get(name)
        return setting.value if setting is not None and isinstance(setting.value, str) else None


def read_project(directory: Path) -> ProjectSettings:
    """The settings in `directory`'s fnpack.toml or pyproject.toml; empty if neither has any.

    Raises ConfigurationError with all problems: unknown keys, wrong types, settings in both files.
    """
    problems = Problems()
    tables = [
        (path, table)
        for path in (directory / OWN_FILE, directory / SHARED_FILE)
        if path.exists() and (table := _table(path, problems)) is not None
    ]
    found = [(path, _settings(path, table, problems)) for path, table in tables]
    if len(found) > 1:
        what = f"{OWN_FILE} and [tool.fnpack] in {SHARED_FILE} both hold settings"
        problems.add(label(directory / OWN_FILE), what, "keep one of them")
    problems.check()
    return ProjectSettings(found[0][1], found[0][0]) if found else ProjectSettings()


def merge(
    project: ProjectSettings, environ: Mapping[str, str], flags: Mapping[str, Value | None], *, cwd: Path
) -> RawSettings:
    """Settings by precedence: file, then `FNPACK_*` variables, then flags. A repeatable option is replaced whole.

    `flags` are by option name; None and () mean not given. An empty variable means not given too, and the values
    of repeatable ones are parted by commas. Raises ConfigurationError for a switch variable that is neither on nor off.
    """
    problems = Problems()
    merged = dict(project.values)
    for option in OPTIONS.values():
        text = environ.get(option.variable, "").strip()
        value = _from_variable(option, text, problems) if text else None
        if value is not None:
            merged[option.name] = Setting(option.name, value, option.variable, cwd, Rank.ENVIRONMENT)
    for name, given in flags.items():
        if given is not None and given != ():
            merged[name] = Setting(name, given, OPTIONS[name].flag, cwd, Rank.FLAG)
    problems.check()
    return RawSettings(merged, cwd)


def parse_toml(text: str, name: str) -> dict[str, object]:
    """The table in a TOML text. Raises ConfigurationSyntaxError with line and column."""
    try:
        table: dict[str, object] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        raise ConfigurationSyntaxError([_toml_problem(text, name, str(exc))]) from None
    except (RecursionError, ValueError):
        raise ConfigurationSyntaxError([Problem(name, "not valid TOML")]) from None
    return table


def _toml_problem(text: str, name: str, message: str) -> Problem:
    found = re.search(r"^(.*) \(at (?:line (\d+), column (\d+)|end of document)\)$", message, re.DOTALL)
    what = "not valid TOML: " + (found[1] if found else message).lower()
    lines = text.replace("\r\n", "\n")
    if found and found[2]:
        line, column = int(found[2]), int(found[3])
        start = sum(len(before) + 1 for before in lines.split("\n")[: line - 1])
        position = min(start + column - 1, len(lines))
    else:
        position = len(lines.rstrip())
        line, column = lines.count("\n", 0, position) + 1, position - (lines.rfind("\n", 0, position) + 1) + 1
    return Problem(f"{name}: line {line}, column {column}", what, None, excerpt(lines, position))


def _table(path: Path, problems: Problems) -> Mapping[str, object] | None:
    """fnpack's table in a file, or None if the file has none."""
    try:
        data: Mapping[str, object] = parse_toml(read_text(path), label(path))
    except ConfigurationError as exc:
        problems.extend(exc)
        return None
    if path.name == OWN_FILE:
        return data
    tool = data.get("tool")
    if not isinstance(tool, Mapping) or "fnpack" not in tool:
        return None
    table = tool["fnpack"]
    if isinstance(table, Mapping):
        return table
    problems.add(f"{label(path)}: tool.fnpack", "must be a table", "write `[tool.fnpack]`")
    return None


def _settings(path: Path, table: Mapping[str, object], problems: Problems) -> dict[str, Setting]:
    place = "" if path.name == OWN_FILE else "tool.fnpack"
    moved = {key: f"write `{key.replace('-', '_')}`" for key in table if key.replace("-", "_") in OPTIONS}
    if path.name == OWN_FILE and ("tool" in table or "build" in table):
        moved |= dict.fromkeys(
            ("tool", "build"), f"in {OWN_FILE} the keys stand at the top, outside of tables"
        )
    section = Section(table, label(path), problems, known=OPTIONS, path=place, moved=moved)
    found: dict[str, Setting] = {}
    for option in OPTIONS.values():
        value = _from_file(section, option)
        if value is not None:
            folder = path.absolute().parent
            found[option.name] = Setting(option.name, value, section.where(option.name), folder, Rank.FILE)
    return found


def _from_file(section: Section, option: Option) -> Value | None:
    value = section.data.get(option.name)
    if option.kind == "switch":
        return section.flag(option.name)
    if option.kind == "list" and not isinstance(value, str):
        if option.name == "model" and isinstance(value, Mapping):
            return _named_models(section, value)
        return section.texts(option.name) or None
    if option.name == "python_version" and isinstance(value, float):
        section.problem(
            option.name, "this is a number, and 3.10 would be 3.1", 'write it in quotes, as in "3.10"'
        )
        return None
    if option.name == "check_timeout" and isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    text = section.text(option.name)
    return (text,) if option.kind == "list" and text is not None else text


def _named_models(section: Section, table: Mapping[str, object]) -> tuple[str, ...]:
    for name, path in table.items():
        if not isinstance(path, str):
            section.wrong_kind(f"model.{name}", "a path", path)
    return tuple(f"{name}={path}" for name, path in table.items() if isinstance(path, str))


def _from_variable(option: Option, text: str, problems: Problems) -> Value | None:
    if option.kind == "list":
        return tuple(part.strip() for part in text.split(",") if part.strip()) or None
    if option.kind == "text":
        return text
    if text.casefold() in _ON + _OFF:
        return text.casefold() in _ON
    suggestion = did_you_mean(text, _ON + _OFF) or "write 1 or 0"
    problems.add(option.variable, "must be on or off", suggestion)
    return None
