from __future__ import annotations

from pathlib import Path

import pytest

from fnpack.config.requirements import RequirementLines, read_requirements
from fnpack.errors import ConfigurationError


def read(folder: Path, text: str) -> RequirementLines:
    (folder / "pyproject.toml").write_text(text, encoding="utf-8")
    return read_requirements(Path("pyproject.toml"))


def test_dependencies_of_the_project_are_the_requirements(folder: Path) -> None:
    found = read(
        folder, '[project]\nname = "x"\ndependencies = ["numpy>=2", "scipy; python_version < \'4\'"]\n'
    )
    assert found == RequirementLines(("numpy>=2", "scipy; python_version < '4'"))


def test_project_without_dependencies_has_none(folder: Path) -> None:
    assert read(folder, '[project]\nname = "x"\n') == RequirementLines()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[tool.x]\n", "pyproject.toml: it has no section [project]; name the packages under"),
        ('[project]\ndynamic = ["dependencies"]\n', "pyproject.toml: `project.dependencies` is dynamic"),
        (
            '[project]\ndependencies = "numpy"\n',
            "pyproject.toml: project.dependencies: must be a list of texts",
        ),
        (
            '[project]\ndependencies = ["numpy=1"]\n',
            "pyproject.toml: project.dependencies[0]: `numpy=1` is not",
        ),
        ("[project\n", "pyproject.toml: line 1"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_place(folder: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read(folder, text)
    assert message in str(caught.value)


def test_sources_of_uv_are_told_to_be_unread(folder: Path) -> None:
    text = '[project]\ndependencies = ["mine"]\n[tool.uv.sources]\nmine = { path = "../mine" }\n'
    (note,) = read(folder, text).notes
    assert "[tool.uv.sources] is not read" in note
