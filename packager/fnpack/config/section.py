"""One object of a configuration file, read key by key with its type; it owns no knowledge of any key."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TypeVar

from fnpack.config.problems import Problems
from fnpack.config.suggest import did_you_mean

_T = TypeVar("_T")


def kind_of(value: object) -> str:
    """What a value is, in the words of a configuration file."""
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case str():
            return "a text"
        case int() | float():
            return "a number"
        case list():
            return "a list"
        case Mapping():
            return "an object"
    return f"a {type(value).__name__}"


class Section:
    """An object at a path of a file. Unknown keys become problems at once; typed getters note wrong types.

    A getter gives None for a key that is absent, null or wrong, so that reading goes on to the next problem.
    """

    def __init__(
        self,
        data: Mapping[str, object],
        file: str,
        problems: Problems,
        *,
        known: Collection[str],
        path: str = "",
        moved: Mapping[str, str] | None = None,
    ) -> None:
        self.data, self.file, self.problems, self.path = data, file, problems, path
        for key in data:
            if key not in known:
                suggestion = (moved or {}).get(key) or did_you_mean(key, known)
                problems.add(self.where(key), "unknown key", suggestion)

    def where(self, key: str = "") -> str:
        """`inferenceconfig.json: environment.docker.baseImage`, or the section itself."""
        place = ".".join(part for part in (self.path, key) if part)
        return f"{self.file}: {place}" if place else self.file

    def text(self, key: str) -> str | None:
        """A text that is not blank."""
        value = self._of(str, key, "a text")
        if value is not None and not value.strip():
            self.problems.add(self.where(key), "the text is empty", "give a value, or leave the key out")
            return None
        return value

    def flag(self, key: str) -> bool | None:
        """True or false."""
        return self._of(bool, key, "true or false")

    def texts(self, key: str) -> tuple[str, ...] | None:
        """A list of texts; problems name the entry (`channels[1]`)."""
        values = self._of(list, key, "a list of texts")
        if values is None:
            return None
        for index, value in enumerate(values):
            if not isinstance(value, str):
                self.wrong_kind(f"{key}[{index}]", "a text", value)
        return tuple(value for value in values if isinstance(value, str))

    def items(self, key: str) -> list[object] | None:
        """A list of anything."""
        return self._of(list, key, "a list")

    def mapping(self, key: str) -> Mapping[str, object] | None:
        """An object of anything."""
        return self._of(dict, key, "an object")

    def section(
        self, key: str, known: Collection[str], moved: Mapping[str, str] | None = None
    ) -> Section | None:
        """An object with known keys."""
        data = self.mapping(key)
        if data is None:
            return None
        path = f"{self.path}.{key}" if self.path else key
        return Section(data, self.file, self.problems, known=known, path=path, moved=moved)

    def problem(self, key: str, what: str, suggestion: str | None = None) -> None:
        """Note a problem at a key."""
        self.problems.add(self.where(key), what, suggestion)

    def wrong_kind(self, key: str, wanted: str, value: object) -> None:
        """Note that a value has the wrong type. The value is never shown: it may be a secret."""
        self.problem(key, f"must be {wanted}, not {kind_of(value)}")

    def _of(self, kind: type[_T], key: str, wanted: str) -> _T | None:
        value = self.data.get(key)
        if value is None or isinstance(value, kind):
            return value
        self.wrong_kind(key, wanted, value)
        return None
