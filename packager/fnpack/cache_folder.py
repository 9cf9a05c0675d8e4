"""Where fnpack keeps what it can make again."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path


def cache_folder(environ: Mapping[str, str] | None = None) -> Path:
    """FNPACK_CACHE, else `fnpack` in the user's cache folder."""
    env = os.environ if environ is None else environ
    if env.get("FNPACK_CACHE"):
        return Path(env["FNPACK_CACHE"])
    if sys.platform == "win32" and env.get("LOCALAPPDATA"):
        return Path(env["LOCALAPPDATA"]) / "fnpack" / "cache"
    return Path(env.get("XDG_CACHE_HOME") or home_folder(env) / ".cache") / "fnpack"


def home_folder(environ: Mapping[str, str]) -> Path:
    """The user's home folder."""
    found = environ.get("HOME") or environ.get("USERPROFILE")
    return Path(found or os.path.expanduser("~"))  # noqa: PTH111 - may be absent
