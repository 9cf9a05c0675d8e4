"""Settings as the command line completes them, and what it says of those that are wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fnpack.config.build import BuildSettings, complete
from fnpack.config.options import Value
from fnpack.config.project import ProjectSettings, merge
from fnpack.errors import ConfigurationError


def build(folder: Path, **flags: Value) -> BuildSettings:
    values: dict[str, Value | None] = {"entry_script": "score.py", **flags}
    return complete(merge(ProjectSettings(), {}, values, cwd=folder))


def faults(folder: Path, **flags: Value) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        build(folder, **flags)
    return str(caught.value).splitlines()


def write_config(folder: Path, data: object, name: str = "ic.json") -> str:
    (folder / name).write_text(json.dumps(data))
    return name
