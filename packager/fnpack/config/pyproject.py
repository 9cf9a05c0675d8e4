"""Reads the requirements that a pyproject.toml declares: `[project] dependencies`, and its extras by name."""

from __future__ import annotations

from pathlib import Path

from fnpack.config.files import label, read_text
from fnpack.config.problems import Problems
from fnpack.config.project import parse_toml
from fnpack.config.requirements import RequirementLines, read_lines
from fnpack.config.section import kind_of
from fnpack.errors import ConfigurationError


def read_pyproject(path: Path, problems: Problems) -> RequirementLines:
    """The project's dependencies; what only another tool could tell is noted in `problems`."""
    name = label(path)
    try:
        data = parse_toml(read_text(path), name)
    except ConfigurationError as exc:
        problems.extend(exc)
        return RequirementLines()
    project = data.get("project")
    if not isinstance(project, dict):
        problems.add(name, "it has no section [project]", "name the packages under `[project] dependencies`")
        return RequirementLines()
    if "dependencies" in (project.get("dynamic") or ()):
        what = "`project.dependencies` is dynamic: only a build of the project could tell them"
        problems.add(name, what, "name the file that they come from with --requirements")
        return RequirementLines()
    entries = project.get("dependencies", [])
    if not isinstance(entries, list) or not all(isinstance(entry, str) for entry in entries):
        problems.add(f"{name}: project.dependencies", f"must be a list of texts, not {kind_of(entries)}")
        return RequirementLines()
    pairs = [(f"{name}: project.dependencies[{index}]", entry) for index, entry in enumerate(entries)]
    return RequirementLines(tuple(read_lines(pairs, path.parent, problems)), notes=_notes(data, name))


def _notes(data: dict[str, object], name: str) -> tuple[str, ...]:
    tool = data.get("tool")
    uv = tool.get("uv") if isinstance(tool, dict) else None
    if isinstance(uv, dict) and uv.get("sources"):
        return (f"{name}: [tool.uv.sources] is not read; packages come from the index, or `name @ ./folder`",)
    return ()
