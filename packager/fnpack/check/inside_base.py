"""Looks for what a check missed in the base image, whose own packages are not on this machine."""

from __future__ import annotations

import re

from fnpack.oci.bases import BaseSource
from fnpack.oci.layer_entries import LAYER_ERRORS, entries
from fnpack_triggers.errors import FnpackError


def has_module(base: BaseSource, module: str) -> bool:
    """Whether a Python of the base image finds `module` (`azure.functions`) among its packages."""
    path = re.escape(module.replace(".", "/"))
    return _has(base, rf"(?:^|/)(?:site-packages|dist-packages|X64)/{path}(?:/.*|\.py|\.[^/]*so)$")


def _has(base: BaseSource, pattern: str) -> bool:
    wanted = re.compile(pattern)
    try:
        for layer in base.layers():
            if any(wanted.search(path) for path, _ in entries(base, layer)):
                return True
    except (FnpackError, *LAYER_ERRORS):
        return False  # the check's own failure says more
    return False
