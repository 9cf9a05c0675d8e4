"""Compiles modules for the image's Python, so that a read-only container need not do it at every start.

Files are named and shown in tracebacks as they are in the image. They carry the source's hash and are not checked
against it (PEP 552, `unchecked-hash`), so the same sources give the same bytes at any time.
"""

from __future__ import annotations

import errno
import sys
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path, PurePosixPath

from fnpack.full_disk import disk_full, told_full_disk

_TIMEOUT_S = 900
_COMPILE = """
import errno, json, marshal, py_compile, sys
for source, compiled, shown in json.load(sys.stdin):
    try:
        mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
        py_compile.compile(source, compiled, shown, doraise=True, invalidation_mode=mode)
        with open(compiled, "rb") as file:
            marshal.loads(file.read()[16:])
    except (EOFError, OSError):
        sys.exit(errno.ENOSPC)  # some Pythons leave half a file on a full disk, and say nothing
    except Exception:
        pass  # a module for another Python, which nothing imports
"""


@lru_cache
def interpreter(python_version: str) -> str | None:
    """A Python of this minor version on this machine, or None."""
    if python_version == f"{sys.version_info.major}.{sys.version_info.minor}":
        return sys.executable
    import shutil

    for candidate in (shutil.which(f"python{python_version}"), _found_by_uv(python_version)):
        if candidate and _is_version(candidate, python_version):
            return candidate
    return None


def compiled(sources: Mapping[str, bytes], python_version: str, root: str = "/") -> dict[str, bytes]:
    """The compiled form of modules, by path in the image; modules that do not compile are left out.

    `sources` are texts by path below `root`. Empty where no interpreter of that version is here. Raises DiskFull: a
    layer that lacks some of them would be another one.
    """
    import json
    import subprocess
    import tempfile

    python = interpreter(python_version)
    if python is None or not sources:
        return {}
    tag = f"cpython-{python_version.replace('.', '')}"
    temporary = Path(tempfile.gettempdir())
    with told_full_disk(temporary), tempfile.TemporaryDirectory(prefix="fnpack-compile-") as folder:
        work, names = [], {}
        for number, (path, text) in enumerate(sources.items()):
            source, target = Path(folder, f"{number}.py"), Path(folder, f"{number}.pyc")
            source.write_bytes(text)
            place = PurePosixPath(path)
            names[target] = (place.parent / "__pycache__" / f"{place.stem}.{tag}.pyc").as_posix()
            work.append((str(source), str(target), f"{root.rstrip('/')}/{path}"))
        done = subprocess.run(
            [python, "-I", "-S", "-B", "-W", "ignore", "-c", _COMPILE],
            input=json.dumps(work).encode(),
            capture_output=True,
            check=False,
            timeout=_TIMEOUT_S,
        )
        if done.returncode == errno.ENOSPC:
            raise disk_full(temporary)
        return {name: target.read_bytes() for target, name in names.items() if target.is_file()}


def _found_by_uv(python_version: str) -> str | None:
    import subprocess

    try:
        import uv

        command = [
            uv.find_uv_bin(),
            "python",
            "find",
            "--no-project",
            "--no-python-downloads",
            python_version,
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
        if done.returncode and "cache" in done.stderr:  # it cannot have one
            command.append("--no-cache")
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    except (ImportError, OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None


def _is_version(python: str, version: str) -> bool:
    import subprocess

    script = "import sys; print('%d.%d' % sys.version_info[:2])"
    try:
        done = subprocess.run(
            [python, "-I", "-c", script], capture_output=True, text=True, check=False, timeout=30
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.stdout.strip() == version
