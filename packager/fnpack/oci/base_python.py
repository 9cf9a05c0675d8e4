"""Finds the Python and the C library of a base image in its layers, without running it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import reduce
from pathlib import Path
from typing import Literal, NamedTuple

from fnpack.atomic_file import replacing
from fnpack.oci.bases import BaseSource
from fnpack.oci.content import Content
from fnpack.oci.errors import BaseSourceError
from fnpack.parallel import in_parallel

# Where the `python3` of a search path of /usr/local/bin and /usr/bin is; the first that is there counts.
_BINARY = re.compile(r"^(?:\./)?(usr/local/bin|usr/bin|opt/python/bin|bin)/python(3\.\d+)$")
_PLACES = ("usr/local/bin", "usr/bin", "opt/python/bin", "bin")
_MUSL = re.compile(r"^(?:\./)?(?:usr/)?lib/ld-musl-[^/]+$")
_GLIBC = re.compile(r"^(?:\./)?(?:usr/)?lib(?:64|/[^/]+)?/libc(?:-2\.(\d+))?\.so(?:\.6)?$")
_DPKG = re.compile(r"^(?:\./)?var/lib/dpkg/(?:status|status\.d/libc6[^/]*)$")
_LIBC6 = re.compile(rb"^Package: libc6\n(?:.+\n)*?Version: 2\.(\d+)", re.MULTILINE)
_LIBRARY = re.compile(r"(?:^|/)(lib[^/]*\.so(?:\.[\w.]+)?)$")
_FORMAT = 2
_AT_ONCE = 4


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
    meanwhile()
    found = _scan(base)
    if note is not None:
        _write(note, found)
    return found


class _Found(NamedTuple):
    """What one layer holds, or several together."""

    pythons: Mapping[str, str] = {}  # by folder
    libc: Literal["glibc", "musl"] | None = None
    glibc_minor: int | None = None
    libraries: frozenset[str] = frozenset()

    def under(self, layer: _Found) -> _Found:
        """Together with the layer above, which wins."""
        return _Found(
            {**self.pythons, **layer.pythons},
            layer.libc or self.libc,
            layer.glibc_minor or self.glibc_minor,
            self.libraries | layer.libraries,
        )


def _scan(base: BaseSource) -> BasePython:
    layers = base.layers()
    found: dict[int, _Found] = {}

    def look(number: int, _: object) -> None:
        found[number] = _in_layer(base, layers[number])

    in_parallel(look, range(len(layers)), _AT_ONCE)
    pythons, libc, minor, names = reduce(_Found.under, (one for _, one in sorted(found.items())), _Found())
    libraries = tuple(sorted(names))
    for place in _PLACES:
        if place in pythons:
            python = f"/{place}/python{pythons[place]}"
            return BasePython(pythons[place], python, libc, minor, libraries)
    return BasePython(None, None, libc, minor, libraries)


def _in_layer(base: BaseSource, layer: Content) -> _Found:
    pythons: dict[str, str] = {}
    libc: Literal["glibc", "musl"] | None = None
    minor: int | None = None
    libraries: set[str] = set()
    for path, content in _entries(base, layer):
        if library := _LIBRARY.search(path):
            libraries.add(library[1])
        if binary := _BINARY.match(path):
            pythons[binary[1]] = binary[2]
        elif _MUSL.match(path):
            libc = "musl"
        elif glibc := _GLIBC.match(path):
            libc = "glibc"
            minor = int(glibc[1]) if glibc[1] else minor
        elif status := _LIBC6.search(content):
            minor = int(status[1])
    return _Found(pythons, libc, minor, frozenset(libraries))


def _entries(base: BaseSource, layer: Content) -> Iterator[tuple[str, bytes]]:
    """The paths of a layer, the status of dpkg with its content."""
    from fnpack.oci.layer_entries import LAYER_ERRORS, entries

    try:
        yield from entries(base, layer, _DPKG)
    except LAYER_ERRORS as error:
        raise BaseSourceError(
            f"a layer of the base image cannot be read ({layer.descriptor.digest[:19]}): {error}",
            hint="choose another base image, or build with --builder dockerfile",
        ) from error


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
