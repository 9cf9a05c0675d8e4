"""Looks for what a check missed in the base image, whose own packages are not on this machine."""

from __future__ import annotations

import re
import tarfile
import zlib

from fnpack.oci.bases import BaseSource
from fnpack_triggers.errors import FnpackError


def has_module(base: BaseSource, module: str) -> bool:
    """Whether a Python of the base image finds `module` (`azure.functions`) among its packages."""
    path = re.escape(module.replace(".", "/"))
    return _has(base, rf"(?:^|/)(?:site-packages|dist-packages|X64)/{path}(?:/.*|\.py|\.[^/]*so)$")


def _has(base: BaseSource, pattern: str) -> bool:
    wanted = re.compile(pattern)
    try:
        for layer in base.layers():
            with (
                base.open_layer(layer.descriptor) as stream,
                tarfile.open(fileobj=stream, mode="r|*") as tar,
            ):
                if any(wanted.search(entry.name) for entry in tar):
                    return True
    except (FnpackError, tarfile.TarError, OSError, EOFError, zlib.error):
        return False  # the check's own failure says more
    return False
