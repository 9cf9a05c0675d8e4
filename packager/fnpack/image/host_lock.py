"""The host's own packages for an image: the versions and hashes that fnpack was tested with, as wheels."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from fnpack.app.functions import Function
from fnpack.cache_folder import cache_folder
from fnpack.dependencies.cache import unusable
from fnpack.dependencies.errors import DependencyError
from fnpack.dependencies.lock import Requirements
from fnpack.dependencies.provide import Dependencies, resolve
from fnpack.dependencies.target import Target
from fnpack.dependencies.wheels import WheelFile
from fnpack.progress import Progress, ignore
from fnpack.templates import template

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


def host_lock(functions: Iterable[Function], *, identity: bool) -> str:
    """The lock for an app's functions; with `identity` the one that can sign in without a connection string.

    Storage libraries are half of the host, and one that answers HTTP to anybody goes without.
    Where a caller needs a key, the keys may live in blob storage (AzureWebJobsStorage).
    """
    if identity:
        return "host-identity.txt"
    bindings = [binding for one in functions for binding in one.bindings]
    if any(str(binding.get("type", "")).lower().startswith("servicebus") for binding in bindings):
        return "host-servicebus.txt"
    return "host-storage.txt" if any(map(_needs_storage, bindings)) else "host-http.txt"


def _needs_storage(binding: Mapping[str, object]) -> bool:
    kind = str(binding.get("type", "")).lower()
    if kind == "httptrigger":
        return str(binding.get("authLevel", "function")).lower() != "anonymous"
    return kind != "http"


def _text(name: str) -> str:
    return template("image", name)


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
