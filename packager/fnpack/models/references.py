"""Model references of a build: `name`, `name:version`, `models:/...`, `runs:/...`. A path is none of them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from fnpack.exceptions import ModelNotFoundException
from fnpack.progress import Progress, ignore
from fnpack.spec import ModelSource

if TYPE_CHECKING:
    from fnpack.models.registry import ModelRegistry

_MLFLOW = ("models:/", "runs:/")


class Reference(NamedTuple):
    """A name, and a version unless the latest is meant."""

    name: str
    version: int | None = None


def reference(text: str) -> Reference | None:
    """The reference in a text of the form `name`, `name:3` or `name:latest`; None for any other text."""
    from fnpack.models.registry import NAME  # with its database, which a build of files has no need of

    name, colon, version = text.partition(":")
    if not NAME.fullmatch(name) or (colon and not re.fullmatch(r"[1-9]\d{0,8}|latest", version)):
        return None
    return Reference(name, int(version) if version.isdecimal() else None)


class ModelFinder:
    """Finds what `--model` refers to. The registry is opened when a reference is met that is no path."""

    def __init__(self, folder: Path, progress: Progress = ignore) -> None:
        self._folder, self._progress = folder, progress
        self._registry: ModelRegistry | None = None

    def find(self, text: str) -> ModelSource | None:
        """The model that `text` refers to, its files on this machine; None where it can only be a path.

        Raises ModelNotFoundException, RegistryError, ContentDamaged, MlflowError.
        """
        if text.startswith(_MLFLOW):
            from fnpack.models.mlflow_models import fetch

            return fetch(text, self._folder, self._progress)
        wanted = reference(text)
        if wanted is None:
            return None
        from fnpack.models.opened import registry_near

        self._registry = self._registry or registry_near(self._folder)
        if self._registry is None:
            if ":" not in text:
                return None
            raise ModelNotFoundException(
                f"there is neither a file `{text}` nor a model registry that could hold it",
                hint="register the model with `fnpack model register`, or give a path",
            )
        try:
            record = self._registry.get(wanted.name, wanted.version)
        except ModelNotFoundException:
            if ":" not in text:
                return None
            raise
        path, facts = self._registry.checkout(record, self._progress), record.facts
        return ModelSource(record.name, path, str(record.version), facts.framework, facts.framework_version)

    def names(self) -> list[str]:
        """The names that the registry knows, for suggestions."""
        from fnpack.models.opened import registry_near

        self._registry = self._registry or registry_near(self._folder)
        return [] if self._registry is None else sorted({record.name for record in self._registry.records()})
