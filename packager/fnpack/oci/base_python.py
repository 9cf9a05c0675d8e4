"""The Python and the C library of a base image, found in its layers without running it."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Literal, NamedTuple

from fnpack.atomic_file import replacing
from fnpack.oci.bases import BaseSource

_FORMAT = 2


class BasePython(NamedTuple):
    """What a base image runs. `python_version` is "3.11" style, `glibc_minor` 36 for 2.36; None: there is none.

    `libraries` are the file names of its shared libraries (`libgomp.so.1`).
    """

    python_version: str | None
    python: str | None  # the interpreter's path
    libc: Literal["glibc", "musl"] | None
    glibc_minor: int | None
    libraries: tuple[str, ...] = ()


def base_python(
    base: BaseSource, cache: Path | None, meanwhile: Callable[[], None] = lambda: None
) -> BasePython:
    """Look through the layers, once for each image: the answer is kept in the folder `cache`.

    That takes a while; `meanwhile` is called before and begins what else there is to do.
    Raises BaseSourceError for a layer that cannot be read, and what the source raises.
    """
    note = cache / "base-python" / base.config().descriptor.digest[7:] if cache else None
    known = _read(note)
    if known is not None:
        return known
    from fnpack.oci.base_scan import scan

    meanwhile()
    found = scan(base)
    if note is not None:
        _write(note, found)
    return found


def _read(note: Path | None) -> BasePython | None:
    if note is None:
        return None
    try:
        content = json.loads(note.read_bytes())
        if content["format"] != _FORMAT:
            return None
        return BasePython(**{**content["found"], "libraries": tuple(content["found"]["libraries"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _write(note: Path, found: BasePython) -> None:
    with suppress(OSError), replacing(note, 0o666) as file:
        file.write(json.dumps({"format": _FORMAT, "found": found._asdict()}).encode())
