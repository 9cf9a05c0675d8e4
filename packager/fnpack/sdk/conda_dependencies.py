"""`CondaDependencies`: the packages of an environment, as an editable conda YAML."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

from fnpack.config.requirements import distribution
from fnpack.exceptions import UserErrorException

_CHANNELS, _DEPENDENCIES, _PIP = "channels", "dependencies", "pip"
_FILE = "auto_conda_dependencies.yml"
_DEFAULT_NAME = "project_environment"


class CondaDependencies:
    """Conda and pip packages, channels and the Python version of an environment."""

    def __init__(
        self,
        conda_dependencies_file_path: str | None = None,
        _underlying_structure: Mapping[str, object] | None = None,
    ) -> None:
        """Read a conda YAML file, or begin empty. Raises UserErrorException for a file that is none."""
        self._data: dict[str, object] = {"name": _DEFAULT_NAME, _DEPENDENCIES: []}
        if _underlying_structure is not None:
            self._data = copy.deepcopy(dict(_underlying_structure))
        elif conda_dependencies_file_path is not None:
            self._data = _read(Path(conda_dependencies_file_path))
        self._data.setdefault(_DEPENDENCIES, [])

    @staticmethod
    def create(
        pip_indexurl: str | None = None,
        pip_packages: Sequence[str] | None = None,
        conda_packages: Sequence[str] | None = None,
        python_version: str | None = None,
        pin_sdk_version: bool = True,
    ) -> CondaDependencies:
        """New dependencies. Without `python_version` it is the Python that builds; SDK v1's packages get no pins.

        `pip_packages=None` means `azureml-defaults`, as in SDK v1; fnpack's host does what that package did.
        """
        made = CondaDependencies()
        if python_version is not None:
            made.set_python_version(python_version)
        for package in conda_packages or ():
            made.add_conda_package(package)
        if pip_indexurl is not None:
            made.set_pip_index_url(pip_indexurl)
        for package in ("azureml-defaults",) if pip_packages is None else pip_packages:
            made.add_pip_package(package)
        return made

    @property
    def conda_channels(self) -> list[str]:
        """The channels, in order."""
        return [str(channel) for channel in cast("list[object]", self._data.get(_CHANNELS) or [])]

    @property
    def conda_packages(self) -> list[str]:
        """The conda packages, Python among them."""
        return [entry for entry in self._dependencies if isinstance(entry, str)]

    @property
    def pip_packages(self) -> list[str]:
        """The pip packages, without options."""
        return [entry for entry in self._pip if not entry.startswith("-")]

    @property
    def pip_options(self) -> list[str]:
        """The lines of the pip list that are options."""
        return [entry for entry in self._pip if entry.startswith("-")]

    def get_python_version(self) -> str | None:
        """The Python version, or None where none is asked for."""
        for package in self.conda_packages:
            if _conda_name(package) == "python":
                return re.sub(r"^[=<>~!]+", "", package[len("python") :].strip()) or None
        return None

    def set_python_version(self, version: str) -> None:
        """Ask for a Python version, such as `3.11`."""
        if not re.fullmatch(r"\d+\.\d+(\.\d+)?", str(version)):
            raise UserErrorException(
                f"`{version}` is no Python version", hint='write it as text, as in "3.11"'
            )
        self._dependencies[:] = [
            entry
            for entry in self._dependencies
            if not (isinstance(entry, str) and _conda_name(entry) == "python")
        ]
        self._dependencies.insert(0, f"python={version}")

    def add_channel(self, channel: str) -> None:
        """Add a channel at the end, unless it is there."""
        channels = self.conda_channels
        self._data[_CHANNELS] = channels if channel in channels else [*channels, channel]

    def remove_channel(self, channel: str) -> None:
        """Remove a channel, if it is there."""
        self._data[_CHANNELS] = [other for other in self.conda_channels if other != channel]

    def add_conda_package(self, conda_package: str) -> None:
        """Add a conda package; one of the same name is replaced."""
        name = _conda_name(conda_package)
        if name == "python":
            version = re.sub(r"^[=<>~!]+", "", conda_package.strip()[len("python") :].strip())
            self.set_python_version(version)
            return
        self.remove_conda_package(conda_package)
        self._dependencies.append(conda_package)

    def remove_conda_package(self, conda_package: str) -> None:
        """Remove a conda package by its name. Python cannot be removed."""
        name = _conda_name(conda_package)
        if name == "python":
            raise UserErrorException("Python cannot be removed from an environment")
        self._dependencies[:] = [
            entry
            for entry in self._dependencies
            if not (isinstance(entry, str) and _conda_name(entry) == name)
        ]

    def add_pip_package(self, pip_package: str) -> None:
        """Add a pip package; one of the same name is replaced in its place."""
        name, lines = distribution(pip_package), self._pip
        for index, line in enumerate(lines):
            if name and distribution(line) == name:
                lines[index] = pip_package
                break
        else:
            lines.append(pip_package)
        self._set_pip(lines)

    def remove_pip_package(self, pip_package: str) -> None:
        """Remove a pip package by its name, if it is there."""
        name = distribution(pip_package)
        self._set_pip([line for line in self._pip if not name or distribution(line) != name])

    def set_pip_requirements(self, pip_requirements: Sequence[str]) -> None:
        """Replace the whole pip list."""
        self._set_pip([str(line) for line in pip_requirements])

    def set_pip_option(self, pip_option: str) -> None:
        """Set an option of pip; one of the same name is replaced."""
        if not pip_option.startswith("-"):
            raise UserErrorException(f"`{pip_option}` is no option of pip", hint="an option begins with `-`")
        self._set_pip([pip_option, *self._without_option(pip_option)])

    def remove_pip_option(self, pip_option: str) -> None:
        """Remove an option of pip, if it is there."""
        self._set_pip(self._without_option(pip_option))

    def set_pip_index_url(self, index_url: str) -> None:
        """Ask for a package index. A build refuses it: an index belongs into pip's own settings, not into images."""
        self.set_pip_option(index_url if index_url.startswith("-") else f"--index-url {index_url}")

    def as_dict(self) -> dict[str, object]:
        """The conda environment as plain data, a copy."""
        return copy.deepcopy(self._data)

    def serialize_to_string(self) -> str:
        """The conda YAML."""
        import yaml

        text: str = yaml.safe_dump(self._data, sort_keys=False, default_flow_style=False)
        return text

    def save_to_file(self, base_directory: str, conda_file_path: str | None = None) -> str:
        """Write the conda YAML below `base_directory`; returns its path relative to that."""
        name = conda_file_path or _FILE
        target = Path(base_directory) / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(self.serialize_to_string(), "utf-8")
        return name

    def save(self, path: str | None = None) -> str:
        """Write the conda YAML to a file; returns its path."""
        target = Path(path) if path is not None else Path.cwd() / _FILE
        target.write_text(self.serialize_to_string(), "utf-8")
        return str(target)

    @property
    def _dependencies(self) -> list[object]:
        return cast("list[object]", self._data[_DEPENDENCIES])

    @property
    def _pip(self) -> list[str]:
        """The pip lines, a copy."""
        return [
            str(line)
            for entry in self._dependencies
            if isinstance(entry, Mapping)
            for line in cast("Sequence[object]", entry.get(_PIP) or ())
        ]

    def _set_pip(self, lines: list[str]) -> None:
        self._dependencies[:] = [
            entry for entry in self._dependencies if not (isinstance(entry, Mapping) and _PIP in entry)
        ]
        if lines:
            self._dependencies.append({_PIP: lines})

    def _without_option(self, option: str) -> list[str]:
        name = re.split(r"[\s=]", option, maxsplit=1)[0]
        return [line for line in self._pip if re.split(r"[\s=]", line, maxsplit=1)[0] != name]


def _conda_name(package: str) -> str:
    found = re.match(r"\s*(?:[^\s:]+::)?([A-Za-z0-9_][\w.-]*)", str(package))
    if found is None:
        raise UserErrorException(f"`{package}` is no conda package", hint="write `package` or `package=1.2`")
    return found[1].lower()


def _read(path: Path) -> dict[str, object]:
    import yaml

    try:
        data = yaml.safe_load(path.read_text("utf-8-sig"))
    except (OSError, ValueError) as error:
        raise UserErrorException(f"{path} cannot be read: {error}", hint="give a conda YAML file") from error
    except yaml.YAMLError as error:
        raise UserErrorException(
            f"{path} is not valid YAML: {error}", hint="mend it at that place"
        ) from error
    if data is None:
        data = {}
    if not isinstance(data, dict) or not isinstance(data.get(_DEPENDENCIES) or [], list):
        raise UserErrorException(
            f"{path} is no conda environment", hint="begin with `dependencies:` and a list below it"
        )
    data[_DEPENDENCIES] = data.get(_DEPENDENCIES) or []
    return cast("dict[str, object]", data)
