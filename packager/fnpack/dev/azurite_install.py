"""Puts the pinned Azurite into the user's cache, once: the lock is in this package, npm does the rest.

Only the standard library is used: setting up a checkout uses this before anything is installed.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from fnpack.dev.errors import AzuriteMissing
from fnpack.dev.node import Node

PACKAGE = Path(__file__).parent / "azurite_package"
LOCK_FILES = ("package.json", "package-lock.json")
PROGRAM = Path("node_modules", "azurite", "dist", "src", "azurite.js")
_NPM_OPTIONS = ("--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error", "--no-update-notifier")
_NPM_S = 900
_CERTIFICATES = ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
_LOGIN = re.compile(r"(?<=://)[^/@\s]+@")


def pinned_version() -> str:
    """The version of Azurite that fnpack runs."""
    version: str = json.loads((PACKAGE / "package.json").read_text("utf-8"))["dependencies"]["azurite"]
    return version


def cached_program() -> Path | None:
    """Azurite's program in the cache, if it is there."""
    program = cache_folder() / pinned_version() / PROGRAM
    return program if program.is_file() else None


def cache_folder() -> Path:
    """`~/.cache/fnpack/azurite`, or below XDG_CACHE_HOME."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if base else Path.home() / ".cache") / "fnpack" / "azurite"


def ensure_azurite(node: Node, say: Callable[[str], None]) -> Path:
    """Azurite's program, fetched into the cache the first time; several processes take turns.

    `say` is told before the long wait. Raises AzuriteMissing when it cannot be had.
    """
    if (program := cached_program()) is not None:
        return program
    folder, version = cache_folder(), pinned_version()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _turn(folder / "lock"):
            if cached_program() is None:  # another process may have been quicker
                say(f"fetching Azurite {version} into {folder}, once; this takes half a minute")
                _fetch(node, folder, version)
    except OSError as error:
        raise AzuriteMissing(
            f"Azurite {version} cannot be put into {folder}: {error.strerror or error}",
            hint="make that folder writable and free 300 MB, or set XDG_CACHE_HOME to another one",
        ) from error
    return folder / version / PROGRAM


def install_locked(folder: Path, node: Node, environment: Mapping[str, str] | None = None) -> None:
    """Install what the lock names into `folder`, from the registry that npm is set to use. Raises AzuriteMissing."""
    npm = node.npm()
    if npm is None:
        raise AzuriteMissing(
            f"Azurite {pinned_version()} is fetched with npm, and there is no npm beside {node.binary}",
            hint="Debian, Ubuntu: apt install npm; or pip install 'fnpack[node]', which brings one",
        )
    for name in LOCK_FILES:
        shutil.copy(PACKAGE / name, folder)
    try:
        done = subprocess.run(
            [*npm, "ci", *_NPM_OPTIONS],
            cwd=folder,
            env=with_certificates({**node.environment(), **(environment or {})}),
            check=False,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_NPM_S,
        )
    except subprocess.TimeoutExpired as error:
        raise _not_fetched(f"npm was not done after {_NPM_S} s") from error
    if done.returncode != 0:
        lines = [line for line in _LOGIN.sub("", done.stdout).splitlines() if line.strip()]
        raise _not_fetched("npm says:\n" + "\n".join(f"  {line}" for line in lines[:6]))


def with_certificates(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment with the certificates that pip trusts, which Node does not look for, trusted by Node too."""
    given = next((environment[name] for name in _CERTIFICATES if environment.get(name)), None)
    return {**({"NODE_EXTRA_CA_CERTS": given} if given else {}), **environment}


def _fetch(node: Node, folder: Path, version: str) -> None:
    """Install beside the final place and move there, so that what is there is whole."""
    place = Path(tempfile.mkdtemp(prefix=f".{version}-", dir=folder))
    try:
        install_locked(place, node)
        shutil.rmtree(folder / version, ignore_errors=True)
        place.rename(folder / version)
    finally:
        shutil.rmtree(place, ignore_errors=True)


@contextmanager
def _turn(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _not_fetched(reason: str) -> AzuriteMissing:
    return AzuriteMissing(
        f"Azurite {pinned_version()} cannot be fetched: {reason}",
        hint="it is needed once: check the network and npm's registry (`npm config get registry`, .npmrc, "
        "HTTPS_PROXY) and try again; or set the connection that the app names to a storage account of yours",
    )
