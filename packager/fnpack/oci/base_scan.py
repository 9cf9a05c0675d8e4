"""Looks through a base image's layers for its Python, its C library and its shared libraries."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import reduce
from typing import Literal, NamedTuple

from fnpack.oci.base_python import BasePython
from fnpack.oci.bases import BaseSource
from fnpack.oci.content import Content
from fnpack.oci.errors import BaseSourceError
from fnpack.oci.layer_entries import LAYER_ERRORS, entries
from fnpack.parallel import in_parallel

# Where the `python3` of a search path of /usr/local/bin and /usr/bin is; the first that is there counts.
_BINARY = re.compile(r"^(?:\./)?(usr/local/bin|usr/bin|opt/python/bin|bin)/python(3\.\d+)$")
_PLACES = ("usr/local/bin", "usr/bin", "opt/python/bin", "bin")
_MUSL = re.compile(r"^(?:\./)?(?:usr/)?lib/ld-musl-[^/]+$")
_GLIBC = re.compile(r"^(?:\./)?(?:usr/)?lib(?:64|/[^/]+)?/libc(?:-2\.(\d+))?\.so(?:\.6)?$")
_DPKG = re.compile(r"^(?:\./)?var/lib/dpkg/(?:status|status\.d/libc6[^/]*)$")
_LIBC6 = re.compile(rb"^Package: libc6\n(?:.+\n)*?Version: 2\.(\d+)", re.MULTILINE)
_LIBRARY = re.compile(r"(?:^|/)(lib[^/]*\.so(?:\.[\w.]+)?)$")
_AT_ONCE = 4


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


def scan(base: BaseSource) -> BasePython:
    """What is in the layers together, the upper ones winning. Raises BaseSourceError, and what the source raises."""
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
    try:
        yield from entries(base, layer, _DPKG)
    except LAYER_ERRORS as error:
        raise BaseSourceError(
            f"a layer of the base image cannot be read ({layer.descriptor.digest[:19]}): {error}",
            hint="choose another base image, or build with --builder dockerfile",
        ) from error
