"""The only way to py-rattler: imported when a conda environment is asked for, called to completion, its errors ours."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Coroutine
from importlib import import_module
from types import ModuleType
from typing import TypeVar

from fnpack.dependencies.conda.errors import CondaToolsMissing

T = TypeVar("T")
_SECRETS = re.compile(r"(?<=://)[^/\s`'\"]+@|(?<=/t/)[^/\s`'\"]+(?=/)")


def rattler() -> ModuleType:
    """The module. Raises CondaToolsMissing."""
    try:
        return import_module("rattler")
    except ImportError:
        raise CondaToolsMissing(
            "py-rattler, which installs conda packages, is not installed",
            hint="pip install 'fnpack[conda]', or name all packages in the list of pip",
        ) from None


def run(work: Coroutine[object, object, T]) -> T:
    """The result of one of rattler's coroutines."""
    return asyncio.run(work)


def clean(error: object) -> str:
    """rattler's words without logins and channel tokens."""
    return without_secrets(str(error)).strip()


def without_secrets(text: str) -> str:
    """Addresses without user names, passwords and tokens."""
    return _SECRETS.sub("", text).replace("/t//", "/")
