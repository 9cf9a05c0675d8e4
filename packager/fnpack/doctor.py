"""Looks at this machine: what fnpack's commands need, whether it is here, and how to mend it. It changes nothing."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from fnpack_triggers.errors import FnpackError

State = Literal["ok", "note", "missing"]
OLDEST_PYTHON, NEWEST_PYTHON = (3, 10), (3, 13)
_WANTED_GB = 2.0
_PORTS = {
    7071: "the host of fnpack run and fnpack dev",
    10000: "the storage of fnpack dev",
    5672: "the Service Bus of fnpack dev",
}
# What needs which packages, by the name of the extra that brings them.
_EXTRAS = {
    "build": (("cyclonedx", "docker", "h2", "pip", "uv", "yaml"), "fnpack build"),
    "host": (("uvicorn", "httptools"), "fnpack run, fnpack dev"),
    "blob": (("azure.storage.blob", "azure.storage.queue", "aiohttp"), "blob and queue functions"),
    "servicebus": (("azure.servicebus",), "Service Bus functions, fnpack send"),
    "functions": (("azure.functions",), "function apps that import azure.functions"),
    "identity": (("azure.identity",), "connections without a secret"),
    "dev": (("watchfiles",), "fnpack dev, to follow changes of code"),
}


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at. `missing`: some command does not work, and `fix` says how to mend that."""

    name: str
    state: State
    found: str
    fix: str = ""

    def facts(self) -> dict[str, str]:
        """For a program."""
        return asdict(self)


def examine() -> list[Check]:
    """All checks, in the order in which a newcomer meets what they are about."""
    return [one for look in _LOOKS for one in look()]


def _python() -> list[Check]:
    version = ".".join(map(str, sys.version_info[:3]))
    found = f"{version} on {platform.system()} {platform.machine()}"
    if OLDEST_PYTHON <= sys.version_info[:2] <= NEWEST_PYTHON:
        return [Check("Python", "ok", found)]
    wanted = " to ".join(".".join(map(str, one)) for one in (OLDEST_PYTHON, NEWEST_PYTHON))
    return [Check("Python", "missing", found, f"install fnpack in a Python {wanted}")]


def _packages() -> list[Check]:
    checks = []
    for extra, (modules, purpose) in _EXTRAS.items():
        absent = [name for name in modules if not _is_there(name)]
        if absent:
            found = f"not installed: {', '.join(absent)} ({purpose})"
            checks.append(Check(f"packages: {extra}", "missing", found, f"pip install 'fnpack[{extra}]'"))
        else:
            checks.append(Check(f"packages: {extra}", "ok", purpose))
    return checks


def _uv() -> list[Check]:
    fix = "pip install 'fnpack[build]'"
    if not _is_there("uv"):
        return [Check("uv", "missing", "not installed; fnpack build resolves packages with it", fix)]
    import uv

    try:
        uv.find_uv_bin()
    except FileNotFoundError:
        return [Check("uv", "missing", "its program is not where its package says", fix)]
    return [Check("uv", "ok", metadata.version("uv"))]


def _engine() -> list[Check]:
    try:
        from fnpack.engine.connection import connect

        client = connect()
    except ImportError:
        return [
            Check(
                "Docker Engine", "missing", "the docker SDK is not installed", "pip install 'fnpack[build]'"
            )
        ]
    except FnpackError as error:
        return [Check("Docker Engine", "missing", str(error), error.hint or "")]
    try:
        version = str(client.version().get("Version", ""))
    finally:
        client.close()
    return [Check("Docker Engine", "ok", version), *_logins()]


def _logins() -> list[Check]:
    from docker.auth import load_config

    config = load_config()
    names = sorted({*config.auths, *config.cred_helpers})
    if config.creds_store:
        names.append(f"those of {config.creds_store}")
    if names:
        return [Check("registry logins", "ok", ", ".join(names))]
    return [Check("registry logins", "note", "none", "to push images: docker login REGISTRY")]


def _azurite() -> list[Check]:
    from fnpack.dev.azurite_install import cache_folder, cached_program, pinned_version
    from fnpack.dev.errors import NodeMissing
    from fnpack.dev.node import find_node

    version = pinned_version()
    try:
        node = find_node()
    except NodeMissing as error:
        return [Check("Node.js", "missing", str(error), error.hint or "")]
    checks = [Check("Node.js", "ok", f"{node.version} at {node.binary}")]
    if cached_program() is not None:
        return [*checks, Check("Azurite", "ok", f"{version} in {cache_folder()}")]
    if node.npm() is None:
        fix = "Debian, Ubuntu: apt install npm; or pip install 'fnpack[node]'"
        return [
            *checks,
            Check("Azurite", "missing", f"{version} is not here, and no npm to fetch it with", fix),
        ]
    found = f"{version} is not here yet"
    return [*checks, Check("Azurite", "note", found, "fnpack dev fetches it once; that needs the network")]


def _ports() -> list[Check]:
    from fnpack.dev.ports import are_free

    taken = [f"{port} ({purpose})" for port, purpose in _PORTS.items() if not are_free((port,))]
    if not taken:
        return [Check("ports", "ok", ", ".join(map(str, _PORTS)) + " are free")]
    return [
        Check("ports", "note", f"taken: {', '.join(taken)}", "others can be chosen with --port and the like")
    ]


def _cache() -> list[Check]:
    """How large the cache is; what was not there when it was looked at counts as nothing."""
    from fnpack.cache_folder import cache_folder

    folder, sizes = cache_folder(), {}
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                status = Path(place, name).lstat()
                sizes[status.st_dev, status.st_ino] = status.st_size  # packages are linked more than once
    return [
        Check(
            "cache", "ok", f"{sum(sizes.values()) / 1e9:.1f} GB in {folder}; it may be deleted between builds"
        )
    ]


def _disk() -> list[Check]:
    from fnpack.cache_folder import cache_folder

    checks = []
    for name, folder in (("here", Path.cwd()), ("cache", cache_folder())):
        place = next(one for one in (folder, *folder.parents) if one.exists())
        free_gb = shutil.disk_usage(place).free / 1e9
        found = f"{free_gb:.1f} GB free at {place}"
        if not os.access(place, os.W_OK):
            checks.append(
                Check(f"disk: {name}", "note", f"{place} cannot be written", "choose another folder")
            )
        elif free_gb < _WANTED_GB:
            checks.append(Check(f"disk: {name}", "note", found, "images and models need room: free some"))
        else:
            checks.append(Check(f"disk: {name}", "ok", found))
    return checks


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # a parent of it is not there
        return False


_LOOKS: tuple[Callable[[], list[Check]], ...] = (
    _python,
    _packages,
    _uv,
    _engine,
    _azurite,
    _ports,
    _cache,
    _disk,
)
