"""The app's requirements.txt: every package of a lock with its version and hashes, naming no index and no path."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from fnpack.dependencies.lockfile import Lock
from fnpack.dependencies.wheels import WheelFile

if TYPE_CHECKING:
    from packaging.pylock import Package


def requirements_txt(lock: Lock, built: Mapping[str, WheelFile]) -> str:
    """The text for pip's `--require-hashes`, the same on every machine.

    `built` are the wheels made from folders, git commits and archives of this machine, by project name: they are
    pinned by their own hash, and pip finds them in a folder of wheels.
    """
    return "".join(_entry(package, built.get(str(package.name))) for package in lock.document.packages)


def _entry(package: Package, built: WheelFile | None) -> str:
    marker = f" ; {package.marker}" if package.marker is not None else ""
    if built is not None:
        head, hashes = f"{package.name}=={built.version}", [built.sha256]
    elif package.archive is not None and package.archive.url is not None:
        head, hashes = f"{package.name} @ {package.archive.url}", [package.archive.hashes["sha256"]]
    else:
        head, hashes = f"{package.name}=={package.version}", sorted(set(_hashes(package)))
    lines = [head + marker, *(f"    --hash=sha256:{digest}" for digest in hashes)]
    return " \\\n".join(lines) + "\n"


def _hashes(package: Package) -> Iterator[str]:
    for file in (*(package.wheels or ()), package.sdist, package.archive):
        if file is not None:
            yield file.hashes["sha256"]
