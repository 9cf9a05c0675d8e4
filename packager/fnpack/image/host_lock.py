"""The host's own packages for an image: the versions and hashes that fnpack was tested with, as wheels."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.resources import files

from fnpack.cache_folder import cache_folder
from fnpack.dependencies.cache import unusable
from fnpack.dependencies.errors import DependencyError
from fnpack.dependencies.lock import Requirements
from fnpack.dependencies.provide import Dependencies, resolve
from fnpack.dependencies.target import Target
from fnpack.dependencies.wheels import WheelFile
from fnpack.progress import Progress, ignore

_PIN = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)(\s*;[^\\]+)?", re.MULTILINE)
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


def host_dependencies(name: str, targets: Sequence[Target], progress: Progress = ignore) -> Dependencies:
    """The lock `name` (`host-http.txt`), resolved for `targets`; kept in the cache. Raises DependencyError."""
    text = _text(name)
    lines = tuple(f"{pin[1]}=={pin[2]}{(pin[3] or '').rstrip()}" for pin in _PIN.finditer(text))
    folder = cache_folder() / "host-locks" / name.removesuffix(".txt") / targets[0].python_version
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unusable(folder, error) from error
    return resolve(
        Requirements(lines, f"fnpack's own {name}"), list(targets), project=folder, progress=progress
    )


def host_wheels(name: str, found: Dependencies, target: Target) -> tuple[WheelFile, ...]:
    """The wheels that belong into the image. Raises DependencyError if a file is not the one that was tested.

    What the lock does not name is left out, as in `fnpack_triggers.azure_imports`.
    """
    text = _text(name)
    hashes, pins = set(_HASH.findall(text)), {_normal(pin[1]) for pin in _PIN.finditer(text)}
    chosen = []
    for one in found.selected[target]:
        if _normal(one.name) not in pins:
            continue
        wheel = one.wheel
        if wheel is None or wheel.sha256 not in hashes:
            raise DependencyError(
                f"{one.name} from the package index is not the file that fnpack was tested with",
                hint="check the index; only the published wheels go into an image",
            )
        chosen.append(wheel)
    return tuple(sorted(chosen, key=lambda one: one.name))


def _text(name: str) -> str:
    return (files("fnpack_templates") / "image" / name).read_text("utf-8")


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
