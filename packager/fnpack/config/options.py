"""The options of a build: one table for flags, `FNPACK_*` variables and project files. It owns no values."""

from __future__ import annotations

from enum import IntEnum
from pathlib import Path
from typing import NamedTuple

Value = str | bool | tuple[str, ...]


class Rank(IntEnum):
    """Where a value comes from; the higher one wins."""

    FILE = 1
    ENVIRONMENT = 2
    FLAG = 3


class Option(NamedTuple):
    """One option. `kind` is `text`, `list` (repeatable) or `switch`."""

    name: str
    kind: str = "text"

    @property
    def flag(self) -> str:
        """`--input-path`."""
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        """`FNPACK_INPUT_PATH`."""
        return "FNPACK_" + self.name.upper()


OPTIONS: dict[str, Option] = {
    option.name: option
    for option in (
        Option("entry_script"),
        Option("source_directory"),
        Option("model", "list"),
        Option("inference_config"),
        Option("requirements"),
        Option("trigger", "list"),
        Option("input_path"),
        Option("output_path"),
        Option("input_queue"),
        Option("output_queue"),
        Option("input_topic"),
        Option("input_subscription"),
        Option("output_topic"),
        Option("extra_output", "list"),
        Option("auth_level"),
        Option("connection"),
        Option("service_bus_connection"),
        Option("host"),
        Option("base_image"),
        Option("platform"),
        Option("python_version"),
        Option("tag"),
        Option("builder"),
        Option("output"),
        Option("sbom"),
        Option("insecure_registry", "list"),
        Option("check", "switch"),
        Option("sample"),
        Option("check_timeout"),
        Option("identity", "switch"),
        Option("push", "switch"),
    )
}


class Setting(NamedTuple):
    """The raw value of an option and where it was given.

    `source` is for messages: `fnpack.toml: trigger`, `FNPACK_TRIGGER` or `--trigger`. `folder` is what a relative
    path in the value is relative to.
    """

    name: str
    value: Value
    source: str
    folder: Path
    rank: Rank
