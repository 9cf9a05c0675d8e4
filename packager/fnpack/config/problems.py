"""Collects problems while a configuration is read, so that a person sees all of them at once."""

from __future__ import annotations

from collections.abc import Iterable

from fnpack.errors import ConfigurationError, Problem


class Problems:
    """A growing list of problems; `check` raises them together."""

    def __init__(self) -> None:
        self._found: list[Problem] = []
        self._error: ConfigurationError | None = None

    def add(self, where: str, what: str, suggestion: str | None = None, excerpt: Iterable[str] = ()) -> None:
        """Note one problem."""
        self._found.append(Problem(where, what, suggestion, tuple(excerpt)))

    def extend(self, error: ConfigurationError) -> None:
        """Note the problems of an error that another reader raised."""
        if not self._found:
            self._error = error
        self._found.extend(error.problems)

    def __len__(self) -> int:
        return len(self._found)

    def check(self) -> None:
        """Raise ConfigurationError with all problems, if there are any. A single error keeps its own code."""
        if self._error is not None and len(self._error.problems) == len(self._found):
            raise self._error
        if self._found:
            raise ConfigurationError(self._found)
