"""Reads a conda environment (inline or YAML): the Python version, the pip list, and what conda has to install.

Where it names Python and pip packages alone, no conda is needed: pip's packages go on the base image's Python.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from fnpack.config import redact
from fnpack.config.files import excerpt, label, read_text
from fnpack.config.problems import Problems
from fnpack.config.requirements import distribution, read_lines
from fnpack.config.section import Section, kind_of
from fnpack.errors import ConfigurationError
from fnpack.spec import CondaPackages

_KEYS = ("name", "channels", "dependencies", "prefix")
_MOVED = {"variables": "put them under `environment.environmentVariables`"}
_RENAMED = {
    "pytorch": "torch",
    "opencv": "opencv-python",
    "py-opencv": "opencv-python",
    "tensorflow-gpu": "tensorflow",
    "py-xgboost": "xgboost",
    "msgpack-python": "msgpack",
    "pytables": "tables",
    "matplotlib-base": "matplotlib",
}
_NO_PIP = frozenset(
    ("cudatoolkit", "cudnn", "nccl", "pytorch-cuda", "cpuonly", "openmpi", "gcc", "gxx", "libgcc-ng", "conda")
)
_INSTALLERS = frozenset(("pip", "setuptools", "wheel"))  # the image brings its own
_MINORS = tuple(f"3.{minor}" for minor in range(8, 14))


class CondaEnvironment(NamedTuple):
    """What fnpack takes from a conda environment."""

    requirements: tuple[str, ...] = ()
    python_version: str | None = None
    constraints: tuple[str, ...] = ()
    packages: CondaPackages | None = None
    notes: tuple[str, ...] = ()


class _Package(NamedTuple):
    """A conda package match: `numpy=1.23=py310_0` is name numpy, version `=1.23`, build py310_0."""

    name: str
    version: str
    build: str


def read_conda_file(path: Path, problems: Problems) -> CondaEnvironment:
    """The environment in a conda YAML file; faults are noted in `problems`."""
    import yaml

    name = label(path)
    try:
        text = read_text(path)
        data = yaml.safe_load(text)
    except ConfigurationError as exc:
        problems.extend(exc)
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark
        if mark is not None and exc.context_mark is not None and not text[mark.index :].strip():
            mark = exc.context_mark  # where it began says more than the end of the file
        place = f": line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        lines = excerpt(text, min(mark.index, len(text))) if mark else ()
        what = ", ".join(part for part in (exc.context, exc.problem) if part)
        problems.add(name + place, f"not valid YAML: {what}", None, lines)
    except (yaml.YAMLError, RecursionError, ValueError):
        problems.add(name, "not valid YAML")
    else:
        if isinstance(data, dict) and all(isinstance(key, str) for key in data):
            return read_conda(data, name, problems, folder=path.parent)
        problems.add(name, f"must be a conda environment, not {kind_of(data)}", "begin with `dependencies:`")
    return CondaEnvironment()


def read_conda(
    data: Mapping[str, object], file: str, problems: Problems, *, folder: Path, path: str = ""
) -> CondaEnvironment:
    """The environment in an object; `folder` is what `-r` in its pip list is relative to."""
    section = Section(data, file, problems, known=_KEYS, path=path, moved=_MOVED)
    for key in ("name", "prefix"):
        section.text(key)
    channels = _channels(section, folder)
    packages: list[tuple[str, str]] = []  # key and conda package
    pip: list[tuple[str, str]] = []
    for index, entry in enumerate(section.items("dependencies") or []):
        key = f"dependencies[{index}]"
        match entry:
            case str():
                packages.append((key, entry))
            case dict():
                pip += _pip_lines(section, key, entry)
            case _:
                section.wrong_kind(key, "a text or an object with `pip`", entry)
    constraints: list[str] = []
    requirements = read_lines(pip, folder, problems, constraints=constraints)
    version, specs, lines = _packages(section, packages)
    conda = CondaPackages(specs, channels) if specs else None
    notes = (_note(specs, lines),) if specs else ()
    return CondaEnvironment(tuple(requirements), version, tuple(constraints), conda, notes)


def _channels(section: Section, folder: Path) -> tuple[str, ...]:
    """The channels; one in a folder gets its absolute path, and a login is refused, since it would be locked."""
    found = []
    for index, name in enumerate(section.texts("channels") or ()):
        if redact.holds_login(name) or "/t/" in name:
            what = "this channel carries a login or a token, which would stay in the lock file"
            section.problem(
                f"channels[{index}]", what, "take it out; logins belong in netrc or RATTLER_AUTH_FILE"
            )
        elif name.startswith((".", "/", "~")):
            found.append(os.path.normpath(folder.absolute() / os.path.expanduser(name)))  # noqa: PTH111
        else:
            found.append(name)
    return tuple(found)


def _pip_lines(section: Section, key: str, entry: Mapping[str, object]) -> list[tuple[str, str]]:
    place = f"{section.path}.{key}" if section.path else key
    pip = Section(entry, section.file, section.problems, known=("pip",), path=place)
    values = pip.items("pip") or []
    for index, value in enumerate(values):
        if not isinstance(value, str):
            pip.wrong_kind(f"pip[{index}]", "a text", value)
    return [
        (pip.where(f"pip[{index}]"), value) for index, value in enumerate(values) if isinstance(value, str)
    ]


def _packages(
    section: Section, entries: list[tuple[str, str]]
) -> tuple[str | None, tuple[str, ...], list[str]]:
    """The Python version, the specs of an environment that conda has to make (else none), and pip's names for them."""
    version: str | None = None
    specs: list[str] = []
    lines: list[str] = []
    needs_conda = False
    for key, entry in entries:
        package = _parse(entry)
        if package is None:
            section.problem(key, "this is not a conda package", "write `package` or `package=1.2`")
            continue
        if package.name == "python":
            version = _python_version(section, key, package)
        elif package.name in _INSTALLERS:
            continue
        else:
            needs_conda = True
            lines += filter(None, [_pip_line(package)])
        specs.append(entry.partition("#")[0].strip())
    return version, tuple(specs) if needs_conda else (), lines


def package_name(entry: str) -> str:
    """The package that a conda match spec is about, "" for what is none."""
    package = _parse(entry)
    return package.name if package is not None else ""


def _parse(entry: str) -> _Package | None:
    text = entry.partition("#")[0].strip().rpartition("::")[2]
    brackets = re.fullmatch(r"(\S+?)\[.*?version=['\"]?([^'\"\]]+)['\"]?.*\]", text)
    if brackets:
        text = f"{brackets[1]} {brackets[2]}"
    found = re.fullmatch(r"([A-Za-z0-9_][\w.-]*)\s*(.*)", text, re.DOTALL)
    if found is None:
        return None
    version, build = found[2].strip(), ""
    exact = re.fullmatch(r"(=?[0-9][\w.*+!]*)(?:=|\s+)([\w.*]+)", version)
    if exact:
        version, build = exact[1], exact[2]
    if version and not re.fullmatch(r"[\w.*+!<>=~,|\s-]+", version):
        return None
    return _Package(found[1].lower(), re.sub(r"\s+", "", version), build)


def _specifier(package: _Package) -> str | None:
    """The version as PEP 440 has it; None when it has no such form (`1.2|1.3`)."""
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    version = package.version
    single = re.fullmatch(r"(=?)(\d[\w.+!]*?)(\.?\*)?", version)
    if single:
        fuzzy = bool(single[3]) or (bool(single[1]) and not package.build)
        version = f"=={single[2]}" + (".*" if fuzzy else "")
    else:
        version = re.sub(r"(?<![=<>~!])=(?!=)(\d[\d.]*?)(?:\.?\*)?(?=,|$)", r"==\1.*", version)
    try:
        SpecifierSet(version)
    except InvalidSpecifier:
        return None
    return version


def _python_version(section: Section, key: str, package: _Package) -> str | None:
    """`3.11` for `python=3.11.4`; for a range the newest that fits, or None if the range leaves all open."""
    from packaging.specifiers import SpecifierSet

    if not package.version:
        return None
    single = re.fullmatch(r"=*(\d+\.\d+)(?:\.[\d*]+)*(?:\.?\*)?", package.version)
    if single:
        return single[1]
    specifier = _specifier(package)
    fits = [
        minor
        for minor in _MINORS
        if specifier is not None
        and any(SpecifierSet(specifier).contains(f"{minor}.{patch}") for patch in range(30))
    ]
    if not fits:
        section.problem(key, "no Python version fits this", "write, for instance, `python=3.11`")
        return None
    usable = set(fits).issuperset(("3.10", "3.11", "3.12", "3.13"))
    return None if usable else fits[-1]


def _pip_line(package: _Package) -> str | None:
    if package.name in _NO_PIP or package.name.startswith(("libgcc", "gcc_", "gxx_")):
        return None
    name = _RENAMED.get(package.name, package.name)
    return distribution(name) + (_specifier(package) or "")


def _note(specs: tuple[str, ...], lines: list[str]) -> str:
    """What a conda environment costs, and how to do without."""
    names = ", ".join(name for spec in specs if (name := package_name(spec)) != "python")
    listed = ", ".join(f'"{line}"' for line in lines)
    instead = f'; where pip has them too, no conda is needed: {{"pip": [{listed}]}}' if lines else ""
    return f"conda installs {names}, with a Python of its own{instead}"
