"""Names of conda channels to addresses, as conda does it: aliases of the user's .condarc, addresses, folders."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

NO_DEFAULTS = "nodefaults"
_DEFAULT = "defaults"
_MAIN = "main"  # what `defaults` mostly is, on the alias' own server
_FALLBACK = "conda-forge"


def channel_names(channels: Iterable[str]) -> tuple[str, ...]:
    """The channels to search, best first; conda-forge where none is named."""
    named = [name for name in channels if name != NO_DEFAULTS]
    settings = _condarc()
    found: list[str] = []
    for name in named or [_FALLBACK]:
        if name == _DEFAULT:
            defaults = settings.get("default_channels")
            found += map(str, defaults) if isinstance(defaults, list) else [_MAIN]
        else:
            found.append(name)
    return tuple(dict.fromkeys(found))


def channel_alias() -> str | None:
    """The server of channels that are given by name, where the user has another than the usual one."""
    alias = os.environ.get("CONDA_CHANNEL_ALIAS") or _condarc().get("channel_alias")
    return f"{str(alias).rstrip('/')}/" if alias else None


def _condarc() -> Mapping[str, object]:
    import yaml

    path = Path(os.environ.get("CONDARC") or Path.home() / ".condarc")
    try:
        data = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return {}
    return data if isinstance(data, dict) else {}
