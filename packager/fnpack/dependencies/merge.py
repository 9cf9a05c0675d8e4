"""Puts uv's locks of one platform each together: one list of packages, with markers only where platforms differ."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from packaging.markers import Marker
from packaging.pylock import (
    Package,
    PackageArchive,
    PackageDirectory,
    PackageSdist,
    PackageVcs,
    PackageWheel,
    Pylock,
)
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from fnpack.config.redact import holds_login
from fnpack.dependencies.index import without_login
from fnpack.dependencies.lockfile import document_parts, parse
from fnpack.dependencies.target import Target

_Source = PackageArchive | PackageDirectory | PackageSdist | PackageVcs | PackageWheel


def merge(locks: Mapping[Target, str], folder: Path, without: Sequence[str] = ()) -> Pylock:
    """One document of uv's documents; local paths in it are relative to `folder` where they are below it.

    Packages that are pinned in `without` (`numpy==1.26.4`) are left out: something else installs them.
    """
    names = {pin.partition("==")[0] for pin in without}
    found: dict[tuple[str, str, str], list[tuple[Target, Package]]] = {}
    for target, text in locks.items():
        for package in packages_for(parse(text, None), target):
            if package.name in names:
                continue
            plain = _plain(package, folder)
            key = (plain.name, str(plain.version or ""), _origin(plain))
            found.setdefault(key, []).append((target, plain))
    python = next(iter(locks)).python_version
    return Pylock(
        lock_version=Version("1.0"),
        environments=[_environment(target) for target in locks],
        requires_python=SpecifierSet(f"=={python}.*"),
        created_by="fnpack",
        packages=[_joined(found[key], len(locks)) for key in sorted(found)],
    )


def packages_for(document: Pylock, target: Target) -> list[Package]:
    """The packages whose markers hold for `target`."""
    environment = dict(target.markers(), extras=frozenset(), dependency_groups=frozenset())
    return [
        package
        for package in document.packages
        if package.marker is None or package.marker.evaluate(environment, context="lock_file")  # type: ignore[arg-type]
    ]


def pins(document: Pylock) -> str:
    """The versions of a lock as uv takes them for its preferences."""
    indexed = [package for package in document.packages if not package.is_direct]
    own, packages = document_parts(replace(document, packages=indexed, tool=None, environments=None))
    return "\n".join([own, *packages])


def lacks_wheels(text: str) -> bool:
    """Whether a package comes from the index as source only."""
    return any(package.sdist and not package.wheels for package in parse(text, None).packages)


def _environment(target: Target) -> Marker:
    return Marker(
        f"python_version == '{target.python_version}' and sys_platform == 'linux' "
        f"and platform_machine == '{target.machine}'"
    )


def _joined(entries: Sequence[tuple[Target, Package]], platforms: int) -> Package:
    """One entry with the files of all platforms; a marker says on which it is, unless on all."""
    first = entries[0][1]
    marker = None
    if len(entries) < platforms:
        marker = Marker(" or ".join(f"platform_machine == '{target.machine}'" for target, _ in entries))
    wheels: dict[str, PackageWheel] = {}
    for _, package in entries:
        for wheel in package.wheels or ():
            wheels.setdefault(wheel.filename, wheel)
    ordered = [wheels[name] for name in sorted(wheels)]
    return replace(first, marker=marker, wheels=ordered or None)


def _origin(package: Package) -> str:
    """What tells two entries of one version apart."""
    source = package.archive or package.directory or package.vcs
    return repr(source) if source else ""


def _plain(package: Package, folder: Path) -> Package:
    """The package with what selects it, and without what only this machine or this moment knows."""

    def place(source: _Source) -> _Source:
        url, path = getattr(source, "url", None), getattr(source, "path", None)
        if url is not None and url.startswith("file:") and not isinstance(source, PackageVcs):
            url, path = None, unquote(urlsplit(url).path)
        changes: dict[str, object] = {"path": _relative(path, folder) if path is not None else None}
        if not isinstance(source, PackageDirectory):
            changes["url"] = _public(url) if url is not None else None
        if isinstance(source, (PackageArchive, PackageSdist, PackageWheel)):
            changes["upload_time"] = None
        return replace(source, **changes)  # type: ignore[arg-type]

    values = {
        name: place(source)
        for name in ("archive", "directory", "sdist", "vcs")
        if (source := getattr(package, name)) is not None
    }
    wheels = [place(wheel) for wheel in package.wheels] if package.wheels else None
    return replace(package, index=None, wheels=wheels, **values)  # type: ignore[arg-type]


def _public(url: str) -> str:
    """The address without a login, and without a query that holds a signature or token; `git@` of ssh is none."""
    plain = url if "://git@" in url else without_login(url)
    return plain.partition("?")[0] if holds_login(plain) else plain


def _relative(path: str, folder: Path) -> str:
    absolute = Path(os.path.normpath(folder / path))
    if absolute.is_relative_to(folder):
        return absolute.relative_to(folder).as_posix()
    return PurePosixPath(absolute).as_posix()
