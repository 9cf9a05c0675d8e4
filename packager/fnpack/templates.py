"""Reads the files that go into apps and images. They lie in `fnpack_templates`."""

from __future__ import annotations

from pathlib import Path

import fnpack_templates


def template(*place: str) -> str:
    """The text of a file, by its folders and name."""
    return Path(fnpack_templates.__file__).parent.joinpath(*place).read_text("utf-8")
