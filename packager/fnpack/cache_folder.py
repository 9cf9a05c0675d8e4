"""Where fnpack keeps what it can make again. What is in there may be deleted at any time, by anyone."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

_STAND_INS: dict[Path, Path] = {}  # of this process, by the folder that cannot be written


def cache_folder(environ: Mapping[str, str] | None = None) -> Path:
    """FNPACK_CACHE, else `fnpack` in the user's cache folder; or what stands in for it (`stand_in_for`)."""
    named = _named(os.environ if environ is None else environ)
    return _STAND_INS.get(named, named)


def stand_in_for(folder: Path, other: Path) -> None:
    """From now on this process uses `other` where `folder` is its cache."""
    _STAND_INS[folder] = other


def _named(env: Mapping[str, str]) -> Path:
    if env.get("FNPACK_CACHE"):
        return Path(env["FNPACK_CACHE"])
    if sys.platform == "win32" and env.get("LOCALAPPDATA"):
        return Path(env["LOCALAPPDATA"]) / "fnpack" / "cache"
    return Path(env.get("XDG_CACHE_HOME") or home_folder(env) / ".cache") / "fnpack"


def home_folder(environ: Mapping[str, str]) -> Path:
    """The user's home folder."""
    found = environ.get("HOME") or environ.get("USERPROFILE")
    return Path(found or os.path.expanduser("~"))  # noqa: PTH111 - may be absent
