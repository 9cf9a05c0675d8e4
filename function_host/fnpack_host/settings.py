"""App settings: the environment, with `local.settings.json` behind it. No other module of the host reads either."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from fnpack_host.app.lenient_json import read_json_object
from fnpack_host.errors import HostJsonError

HOST_ID = "AzureFunctionsWebHost__hostid"
STATE_CONNECTION = "AzureWebJobsStorage"


class Settings(Mapping[str, str]):
    """App settings by name, compared without case; the environment wins over local.settings.json, as with `func`.

    Values may be secrets: `repr` shows names only.
    """

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = dict(values)
        self._by_lower = {name.lower(): value for name, value in values.items()}

    @classmethod
    def load(cls, app_root: Path, environ: Mapping[str, str] | None = None) -> Settings:
        """Read the process environment and `local.settings.json` of `app_root`, where there is one.

        Raises HostJsonError when the file is broken or encrypted.
        """
        return cls(
            {
                **_local_settings(app_root / "local.settings.json"),
                **(os.environ if environ is None else environ),
            }
        )

    def __getitem__(self, name: str) -> str:
        return self._by_lower[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Settings({', '.join(sorted(self._values))})"

    def is_set(self, name: str) -> bool:
        """Whether the setting is there and not empty."""
        return bool(self.get(name))

    def flag(self, name: str) -> bool:
        """Whether the setting says yes: 1 or true."""
        return self.get(name, "").strip().lower() in ("1", "true")

    def whole_number(self, name: str, default: int, minimum: int, maximum: int) -> int:
        """The setting as a whole number within bounds. Raises HostJsonError for anything else."""
        text = self.get(name, "").strip()
        if not text:
            return default
        if not text.lstrip("-").isdigit() or not minimum <= int(text) <= maximum:
            raise HostJsonError(
                f"setting {name} is {text!r}, but must be a whole number from {minimum} to {maximum}"
            )
        return int(text)

    def below(self, prefix: str) -> dict[str, str]:
        """The settings whose names start with `prefix` (any case), by the rest of their names."""
        lower = prefix.lower()
        return {
            name[len(prefix) :]: value
            for name, value in self._values.items()
            if name.lower().startswith(lower)
        }


def _local_settings(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    content = read_json_object(path)
    if content.get("IsEncrypted") is True:
        raise HostJsonError(
            f"{path} is encrypted", hint="decrypt it with `func settings decrypt`, or set the environment"
        )
    values: dict[str, str] = {}
    for section, prefix in (("Values", ""), ("ConnectionStrings", "ConnectionStrings:")):
        entries = content.get(section) or {}
        if not isinstance(entries, dict):
            raise HostJsonError(f"{path}: {section} must be an object")
        for name, value in entries.items():
            if not isinstance(value, str):
                raise HostJsonError(f"{path}: {section}.{name} must be a string")
            values[prefix + name] = value
    return values


def local_http_port(app_root: Path) -> int | None:
    """`Host.LocalHttpPort` of local.settings.json, where it says one."""
    path = app_root / "local.settings.json"
    host = read_json_object(path).get("Host") if path.is_file() else None
    port = host.get("LocalHttpPort") if isinstance(host, dict) else None
    return port if isinstance(port, int) and 0 <= port <= 65535 else None
