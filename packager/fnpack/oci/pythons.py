"""Finds a Python of the image's minor version on this machine, which can compile modules for it."""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from fnpack.oci.cache import LayerCache

_KIND = "pythons"
_ASK_AGAIN_S = 600  # for what was not found
_TIMEOUT_S = 30
_VERSION = (
    "import sys; v = sys.version_info; "
    "print(sys.implementation.name, '%d.%d.%d' % v[:3] + ('' if v[3] == 'final' else v[3] + str(v[4])), sys.executable)"
)


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A CPython on this machine. `version` is whole ("3.11.7"), as each release may compile in its own way."""

    path: str
    version: str


def find_interpreter(minor: str, cache: LayerCache) -> Interpreter | None:
    """A CPython "3.11": the one that runs now, one that was found before, or what PATH, uv and pyenv know."""
    if minor == f"{sys.version_info.major}.{sys.version_info.minor}" and sys.implementation.name == "cpython":
        return Interpreter(sys.executable, _own_version())
    key = f"{minor}-{os.environ.get('PATH', '')}"
    note = cache.note(_KIND, key)
    if isinstance(note, dict):
        known = _known(note)
        looked_lately = "path" not in note and time.time() - float(note.get("at_s", 0)) < _ASK_AGAIN_S
        if known is not None or looked_lately:
            return known
    found = _search(minor)
    cache.write_note(_KIND, key, _facts(found))
    return found


def _own_version() -> str:
    major, minor, micro, level, serial = sys.version_info
    return f"{major}.{minor}.{micro}" + ("" if level == "final" else f"{level}{serial}")


def _known(note: dict[str, object]) -> Interpreter | None:
    """What the note says, if the program is the same file still."""
    with suppress(OSError, KeyError):
        path = str(note["path"])
        status = os.stat(path)  # noqa: PTH116 - on every build
        if [status.st_size, status.st_mtime_ns] == note["state"]:
            return Interpreter(path, str(note["version"]))
    return None


def _facts(found: Interpreter | None) -> dict[str, object]:
    if found is None:
        return {"at_s": time.time()}
    status = os.stat(found.path)  # noqa: PTH116
    return {"path": found.path, "version": found.version, "state": [status.st_size, status.st_mtime_ns]}


def _search(minor: str) -> Interpreter | None:
    import shutil

    for path in (shutil.which(f"python{minor}"), _from_uv(minor), *_from_pyenv(minor)):
        if path and (found := _ask(path)) and f"{found.version}.".startswith(f"{minor}."):
            return found
    return None


def _from_uv(minor: str) -> str | None:
    try:
        import uv

        program = os.fsdecode(uv.find_uv_bin())
    except (ImportError, FileNotFoundError):
        return None
    environment = {**os.environ, "UV_PYTHON_DOWNLOADS": "never"}
    found = _output([program, "python", "find", "--no-project", f"cpython@{minor}"], environment)
    return found.strip() or None


def _from_pyenv(minor: str) -> list[str]:
    """Those of pyenv, the newest first; what it puts on the PATH runs only the version that is switched to."""
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    return [str(path) for path in sorted(root.glob(f"versions/{minor}.*/bin/python3"), reverse=True)]


def _ask(path: str) -> Interpreter | None:
    implementation, _, rest = _output([path, "-I", "-S", "-c", _VERSION], None).strip().partition(" ")
    version, _, executable = rest.partition(" ")
    if implementation != "cpython" or not Path(executable).is_file():
        return None
    return Interpreter(executable, version)


def _output(command: list[str], environment: dict[str, str] | None) -> str:
    import subprocess

    try:
        done = subprocess.run(
            command, capture_output=True, encoding="utf-8", env=environment, timeout=_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError):
        return ""
    return done.stdout if done.returncode == 0 else ""
