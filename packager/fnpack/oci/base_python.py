"""The Python and the C library of a base image, found in its layers without running it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Literal, NamedTuple

from fnpack.atomic_file import replacing
from fnpack.oci.bases import BaseSource

_FORMAT = 2
_DIGEST = r"sha256:[0-9a-f]{64}"


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
    note = _note(cache, base.config().descriptor.digest) if cache else None
    known = _read(note) if note else None
    if known is not None:
        return known
    from fnpack.oci.base_scan import scan

    meanwhile()
    found = scan(base)
    if note is not None:
        _write(note, facts_of(found))
    return found


def facts_of(found: BasePython) -> dict[str, object]:
    """What `remember` takes, as JSON has it."""
    return {"format": _FORMAT, "found": found._asdict()}


def remember(cache: Path, digest: str, facts: object) -> None:
    """Keep the facts of the image whose config has this digest, as if it had been looked through here.

    They may come from anywhere: what is not understood is passed over.
    """
    if re.fullmatch(_DIGEST, digest) and _parsed(facts) is not None:
        _write(_note(cache, digest), facts)


def _note(cache: Path, digest: str) -> Path:
    return cache / "base-python" / digest[7:]


def _read(note: Path) -> BasePython | None:
    try:
        return _parsed(json.loads(note.read_bytes()))
    except (OSError, ValueError):
        return None


def _parsed(facts: object) -> BasePython | None:
    """The facts, if they are of this version's kind."""
    found = facts.get("found") if isinstance(facts, Mapping) and facts.get("format") == _FORMAT else None
    if not isinstance(found, Mapping) or set(found) != set(BasePython._fields):
        return None
    libraries, minor = found["libraries"], found["glibc_minor"]
    texts = (found["python_version"], found["python"], found["libc"])
    if not isinstance(libraries, list | tuple) or not isinstance(minor, int | None):
        return None
    if not all(isinstance(one, str | None) for one in texts) or not all(
        isinstance(one, str) for one in libraries
    ):
        return None
    return BasePython(**{**found, "libraries": tuple(libraries)})


def _write(note: Path, facts: object) -> None:
    with suppress(OSError), replacing(note, 0o666) as file:
        file.write(json.dumps(facts).encode())
