"""The `environment.python` section of an inference configuration: which packages, which Python."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from fnpack.config.conda import CondaEnvironment, read_conda, read_conda_file
from fnpack.config.files import label
from fnpack.config.requirements import without_server
from fnpack.config.section import Section
from fnpack.spec import CondaPackages

PYTHON_KEYS = (
    "userManagedDependencies",
    "interpreterPath",
    "condaDependenciesFile",
    "baseCondaEnvironment",
    "condaDependencies",
)
_PLAIN = ("python", "python3")


class PythonSection(NamedTuple):
    """`source` says where the requirements were written; None when nothing was."""

    requirements: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()
    conda: CondaPackages | None = None
    source: str | None = None
    version: str | None = None
    user_managed: bool = False
    notes: tuple[str, ...] = ()


def read_python(environment: Section, folder: Path) -> PythonSection:
    """Read the section; `folder` is what its paths are relative to. Problems go to the section's list."""
    section = environment.section("python", PYTHON_KEYS)
    if section is None:
        return PythonSection()
    user_managed = section.flag("userManagedDependencies") or False
    interpreter = section.text("interpreterPath") or "python"
    if section.text("baseCondaEnvironment") is not None:
        what = "a conda environment of the base image cannot be used yet"
        section.problem(
            "baseCondaEnvironment", what, "name what it installs under `condaDependencies`, as pip packages"
        )
    inline, file = section.mapping("condaDependencies"), section.text("condaDependenciesFile")
    if user_managed:
        return PythonSection(
            user_managed=True, notes=_unused(interpreter, inline is not None or file is not None)
        )
    if interpreter not in _PLAIN:
        what = f"only `python` and `python3` are possible, not `{interpreter}`"
        section.problem(
            "interpreterPath", what, "or set `userManagedDependencies` if the image brings all packages"
        )
    if inline is not None and file is not None:
        what = "both `condaDependencies` and `condaDependenciesFile` are given"
        section.problem("", what, "keep one of them")
    return _packages(section, folder, inline is not None, file)


def _packages(section: Section, folder: Path, inline: bool, file: str | None) -> PythonSection:
    found, source = CondaEnvironment(), None
    if file is not None:
        source = label(folder / file)
        found = read_conda_file(folder / file, section.problems)
    if inline:
        source = section.where("condaDependencies")
        data = section.mapping("condaDependencies") or {}
        path = f"{section.path}.condaDependencies"
        found = read_conda(data, section.file, section.problems, folder=folder, path=path)
    requirements, notes = without_server(found.requirements)
    return PythonSection(
        requirements,
        found.constraints,
        found.packages,
        source,
        found.python_version,
        notes=notes + found.notes,
    )


def _unused(interpreter: str, has_packages: bool) -> tuple[str, ...]:
    notes = []
    if has_packages:
        notes.append("conda dependencies are not installed, because userManagedDependencies is true")
    if interpreter not in _PLAIN:
        notes.append(f"interpreterPath `{interpreter}` is not used: the base image's python3 runs the script")
    return tuple(notes)
