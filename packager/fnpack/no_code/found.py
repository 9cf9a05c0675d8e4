"""What is found out about a model's file: framework, version, packages, inputs; and how a script is made of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fnpack.errors import FnpackError

Dimensions = tuple[int | None, ...]  # None where any size will do


class NoCodeError(FnpackError):
    """The model cannot be served without an entry script; the text says what was found in the file."""

    code = "FN350"


@dataclass(frozen=True, slots=True)
class Found:
    """A model that a built-in script serves.

    `script` is the name of the script's template and `facts` are the values of the names at its top. `requirements`
    are what the model's file says, pinned where it says a version. `about` describes the model for a person.
    """

    framework: str
    version: str | None
    script: str
    requirements: tuple[str, ...]
    facts: Mapping[str, object] = field(default_factory=dict)
    about: str = ""
    python_version: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """`scikit-learn 1.7.2 (LogisticRegression, 10 features)`."""
        text = f"{self.framework} {self.version}" if self.version else self.framework
        return f"{text} ({self.about})" if self.about else text


def start_of(path: Path, size: int = 64) -> bytes:
    """The first bytes of a file; of a folder none."""
    if not path.is_file():
        return b""
    with path.open("rb") as file:
        return file.read(size)


def counted(number: int | None, what: str) -> str:
    """`10 features`, `1 feature`; "" where the number is not known."""
    if number is None:
        return ""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
