"""The packager's errors. Every one says what is wrong, where, and what to do; the tree's root is `FnpackError`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from fnpack_triggers.errors import BindingError, FnpackError, PatternError

__all__ = [
    "BindingError",
    "ConfigurationError",
    "ConfigurationFileError",
    "ConfigurationSyntaxError",
    "FnpackError",
    "PatternError",
    "Problem",
]


class Problem(NamedTuple):
    """One thing wrong in the configuration.

    `where` names file and key (`inferenceconfig.json: environment.docker.baseImage`), a file and line
    (`requirements.txt:3`), a flag or a variable. `excerpt` is the text at fault, already free of secrets.
    """

    where: str
    what: str
    suggestion: str | None = None
    excerpt: tuple[str, ...] = ()

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" + (f"; {self.suggestion}" if self.suggestion else "")
        return "\n".join((text, *(f"    {line}" for line in self.excerpt)))


class ConfigurationError(FnpackError):
    """The configuration cannot be built from; the message lists every problem, one per line."""

    code = "FN300"

    def __init__(self, problems: Iterable[Problem], *, hint: str | None = None) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems), hint=hint)


class ConfigurationFileError(ConfigurationError):
    """A configuration file is missing, is a folder, or cannot be read as UTF-8 text."""

    code = "FN301"


class ConfigurationSyntaxError(ConfigurationError):
    """A configuration file is not valid JSON, TOML or YAML; each problem names line and column."""

    code = "FN302"
