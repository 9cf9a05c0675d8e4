"""What the packages of an image are made of: wheels as files on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple


class WheelFile(NamedTuple):
    """A wheel that fits the image. `path` holds its bytes, `filename` is the wheel's own name, `sha256` 64 hex digits.

    `name` is the normalised project name (`scikit-learn`), `version` as the wheel's file name has it.
    """

    name: str
    version: str
    path: Path
    sha256: str
    filename: str
