"""What `fnpack dev` runs: an app directory as it is, or a project from which an app is made first."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from fnpack.dev.errors import DevError

_APP_MARKS = ("host.json", "function_app.py")
_CODE = (".py",)
_APP_FILES = ("function.json", "host.json", "local.settings.json")
_PROJECT_FILES = ("fnpack.toml", "pyproject.toml")
_PROJECT_ENDINGS = (".py", ".json", ".yml", ".yaml", ".txt")


class Source(Protocol):
    """What was given on the command line."""

    @property
    def folder(self) -> Path:
        """The folder itself, absolute; local.settings.json is looked for there."""

    @property
    def watched(self) -> Iterable[Path]:
        """The folders and files in which a change may matter; known after `prepare`."""

    def prepare(self) -> Path:
        """The app directory to run, made anew where it has to be made. Raises FnpackError."""

    def matters(self, path: Path) -> bool:
        """Whether a change of that file is one of code or configuration. What an app writes for itself is not."""


@dataclass(frozen=True, slots=True)
class AppSource:
    """An app directory, run where it is."""

    folder: Path

    @property
    def watched(self) -> Iterable[Path]:
        """The app."""
        return (self.folder,)

    def prepare(self) -> Path:
        """The app itself."""
        return self.folder

    def matters(self, path: Path) -> bool:
        """Python files, and what configures functions and host."""
        return path.suffix in _CODE or path.name in _APP_FILES


class ProjectSource:
    """A project with an entry script: its app is written to `target`, with the settings that `fnpack build` has."""

    def __init__(self, folder: Path, target: Path) -> None:
        self._folder, self._target = folder, target
        self._beside: tuple[Path, ...] = ()  # what the build takes from elsewhere
        self._models: tuple[Path, ...] = ()

    @property
    def folder(self) -> Path:
        """The project."""
        return self._folder

    @property
    def watched(self) -> Iterable[Path]:
        """The project, and what the build takes from elsewhere."""
        return (self._folder, *self._beside)

    def prepare(self) -> Path:
        """Write the app. Its packages are those of this Python, so nothing is resolved."""
        from fnpack.app.directory import write_app
        from fnpack.app.staging import link_or_copy_file
        from fnpack.config.build import complete
        from fnpack.config.discovery import discover
        from fnpack.config.project import merge, read_project

        raw = merge(read_project(self._folder), os.environ, {}, cwd=Path.cwd())
        spec = complete(discover(raw._replace(cwd=self._folder), self._folder)).app
        self._models = tuple(model.path.resolve() for model in spec.models)
        own = () if spec.built_in else (spec.source_directory or spec.entry_script,)
        used = (*own, *self._models)
        self._beside = tuple(path for path in used if not path.resolve().is_relative_to(self._folder))
        return write_app(spec, self._target, lock_text="", place=link_or_copy_file).path

    def matters(self, path: Path) -> bool:
        """Python files, configuration, and models."""
        known = path.suffix in _PROJECT_ENDINGS or path.name in _PROJECT_FILES
        return known or any(path.is_relative_to(model) for model in self._models)


def source_of(folder: Path, target: Path) -> Source:
    """What `folder` is: a function app, or a project, whose app goes to `target`. Raises DevError for neither."""
    from fnpack.config.discovery import project_file

    folder = folder.absolute()
    if project_file(folder) is not None:
        return ProjectSource(folder, target)
    if not any(folder.glob("*/function.json")) and not any((folder / name).is_file() for name in _APP_MARKS):
        raise DevError(
            f"{folder} is neither a function app nor a project"
            if folder.is_dir()
            else f"{folder} is not a folder",
            hint="give a folder with host.json or function_app.py, or one with fnpack.toml or score.py; "
            "`fnpack dev --services-only` runs the services alone",
        )
    return AppSource(folder)
