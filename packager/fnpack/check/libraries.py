"""Finds libraries that packages took from this machine's system, and that the base image does not have."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path, PurePosixPath

from fnpack.oci.elf import needed_libraries

# Of the C library: it was found in the base image, and wheels are chosen by its version.
_OF_GLIBC = (
    "ld-linux",
    "libc.",
    "libdl.",
    "libm.",
    "libmvec.",
    "libpthread.",
    "libresolv.",
    "librt.",
    "libutil.",
)
_OF_PYTHON = "libpython"


def lacking(mapped: Sequence[str], packages: Path, in_base: Collection[str]) -> Iterator[tuple[str, str]]:
    """The libraries that loaded files below `packages` need from the system and that are not `in_base`.

    `mapped` are paths in a process's memory. Yields (library, what needs it below `packages`). Nothing is known of a
    base without any library.
    """
    if not in_base:
        return
    root = packages.resolve()
    own = [path for path in map(Path, mapped) if path.is_relative_to(root)]
    names = {path.name for path in own}
    others = {PurePosixPath(path).name for path in mapped} - names
    told: set[str] = set()
    for path in own:
        for library in needed_libraries(path):
            is_systems = has_library(others, library) and not has_library(names, library)
            if library.startswith((*_OF_GLIBC, _OF_PYTHON)) or not is_systems or library in told:
                continue
            told.add(library)
            if not has_library(in_base, library):
                yield library, path.relative_to(root).as_posix()


def has_library(names: Collection[str], library: str) -> bool:
    """Whether a library is among file names, which may tell its version in more detail (`libgomp.so.1.0.0`)."""
    return library in names or any(name.startswith(f"{library}.") for name in names)
