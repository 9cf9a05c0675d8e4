"""Compiles modules for the image's Python, so that a read-only container need not do it at every start.

Files are named and shown in tracebacks as they are in the image. They carry the source's hash and are not checked
against it (PEP 552, `unchecked-hash`), so the same sources give the same bytes at any time.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import PurePosixPath
from typing import IO, cast

from fnpack.oci.errors import CompilerFailed

_TIMEOUT_S = 900
_COMPILE = """
import gc, importlib.util, marshal, sys
gc.disable()
head = importlib.util.MAGIC_NUMBER + (1).to_bytes(4, "little")
while line := sys.stdin.buffer.readline():
    name_size, size = map(int, line.split())
    shown = sys.stdin.buffer.read(name_size).decode("utf-8", "surrogateescape")
    source = sys.stdin.buffer.read(size)
    try:
        code = compile(source, shown, "exec", dont_inherit=True)
        compiled = head + importlib.util.source_hash(source) + marshal.dumps(code)
    except Exception:
        compiled = b""  # a module for another Python, which nothing imports
    sys.stdout.buffer.write(len(compiled).to_bytes(8, "little") + compiled)
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

    `sources` are texts by path below `root`. Empty where no interpreter of that version is here. Raises
    CompilerFailed: a layer that lacks some of them would be another one.
    """
    python = interpreter(python_version)
    if python is None or not sources:
        return {}
    try:
        status, output, said = _run(python, sources, root.rstrip("/"))
    except OSError as error:
        raise _failed(python, str(error)) from error
    found = _parts(output)
    if status or len(found) != len(sources):
        raise _failed(python, said.decode(errors="replace").strip() or f"status {status}")
    tag = f"cpython-{python_version.replace('.', '')}"
    return {_place(path, tag): content for path, content in zip(sources, found, strict=True) if content}


def _run(python: str, sources: Mapping[str, bytes], root: str) -> tuple[int, bytes, bytes]:
    """Status, output and errors of the compiler. Modules come in megabytes: nothing is sent in small pieces."""
    import subprocess
    import threading

    from fnpack.parallel import beside

    command = [python, "-I", "-S", "-B", "-W", "ignore", "-c", _COMPILE]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe) as process:
        timer = threading.Timer(_TIMEOUT_S, process.kill)
        timer.start()
        try:
            stdin, stdout, stderr = (
                cast("IO[bytes]", one) for one in (process.stdin, process.stdout, process.stderr)
            )
            beside(lambda: _send(stdin, sources, root))
            said = beside(stderr.read)
            output = stdout.read()
            return process.wait(), output, said()
        finally:
            timer.cancel()
            process.kill()


def _send(stdin: IO[bytes], sources: Mapping[str, bytes], root: str) -> None:
    with suppress(BrokenPipeError), stdin:  # it has ended, and says why
        for path, text in sources.items():
            name = f"{root}/{path}".encode("utf-8", "surrogateescape")
            stdin.write(b"%d %d\n" % (len(name), len(text)))
            stdin.write(name)
            stdin.write(text)


def _parts(data: bytes) -> list[bytes]:
    """What stands one after another, each behind its size."""
    found, at = [], 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 8], "little")
        found.append(data[at + 8 : at + 8 + size])
        at += 8 + size
    return found


def _place(path: str, tag: str) -> str:
    place = PurePosixPath(path)
    return (place.parent / "__pycache__" / f"{place.stem}.{tag}.pyc").as_posix()


def _failed(python: str, reason: str) -> CompilerFailed:
    return CompilerFailed(
        f"modules cannot be compiled with {python}: {reason[-500:]}",
        hint="put another Python of this version first in PATH, or build with --builder dockerfile",
    )


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
