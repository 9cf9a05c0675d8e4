"""Compiles a package's modules for the image, once: the results are kept in the layer cache."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from fnpack.oci.cache import LayerCache
from fnpack.oci.errors import CompileFailed
from fnpack.oci.pythons import Interpreter
from fnpack.oci.recipe import key_of

_SCHEMA = "pyc 1"
_KIND = "modules"
_SLICE = 200  # modules that are worth a process
_TIMEOUT_S = 600
_BLOCK_BYTES = 1 << 20
_PROGRAM = Path(__file__).with_name("compile_modules.py")


@dataclass(frozen=True, slots=True)
class Module:
    """A module to compile: its place in the image (absolute) and where its source comes from."""

    path: str
    source: bytes


def pyc_path(path: str, interpreter: Interpreter) -> str:
    """Where the compiled module of a source at `path` belongs."""
    folder, slash, name = path.rpartition("/")
    tag = "cpython-" + "".join(interpreter.version.split(".")[:2])
    return f"{folder}{slash}__pycache__/{name.removesuffix('.py')}.{tag}.pyc"


@dataclass(frozen=True, slots=True)
class Pack:
    """Compiled modules in a file: where each is, in the order in which they were asked for."""

    path: Path
    spans: tuple[tuple[int, int], ...]  # offset and length; length 0 for a module that does not compile

    @classmethod
    def of(cls, path: Path) -> Pack:
        """The pack in a file."""
        with path.open("rb") as file:
            return cls(path, tuple(_spans(file)))


def compiled(
    identity: str, modules: Iterator[Module], count: int, interpreter: Interpreter, cache: LayerCache
) -> Pack:
    """The .pyc of each of `count` modules.

    `identity` stands for the modules: it names a wheel by its hash and all else that their list depends on.
    `modules` is not read if the result is known. Raises CompileFailed, LayerUnwritable.
    """
    key = key_of(_SCHEMA, identity, interpreter.version)
    known = _open(cache, key)
    if known is not None and len(known.spans) == count:
        return known
    digest, size_bytes, path = _compile(modules, count, interpreter, cache)
    cache.write_note(_KIND, key, [digest, size_bytes])
    return Pack.of(path)


def _open(cache: LayerCache, key: str) -> Pack | None:
    note = cache.note(_KIND, key)
    path = cache.blob(*note) if isinstance(note, list) else None
    if path is None:
        return None
    try:
        return Pack.of(path)
    except OSError:  # another build tidied up just now
        return None


def _compile(
    modules: Iterator[Module], count: int, interpreter: Interpreter, cache: LayerCache
) -> tuple[str, int, Path]:
    """In several processes where there is enough for them, since Python compiles in one thread."""
    processes = max(1, min(os.cpu_count() or 1, count // _SLICE))
    size = -(-count // processes)
    with contextlib.ExitStack() as stack:
        running = [
            _Compilation(stack, itertools.islice(modules, size), interpreter, cache) for _ in range(processes)
        ]
        digest, size_bytes = hashlib.sha256(), 0
        with cache.new_file() as (file, path):
            for one in running:
                for data in one.results():
                    digest.update(data)
                    size_bytes += len(data)
                    file.write(data)
            file.flush()
            name = f"sha256:{digest.hexdigest()}"
            return name, size_bytes, cache.keep(path, name)


class _Compilation:
    """One process that compiles one slice; its files and itself are gone when the stack is."""

    def __init__(
        self,
        stack: contextlib.ExitStack,
        modules: Iterable[Module],
        interpreter: Interpreter,
        cache: LayerCache,
    ) -> None:
        self._interpreter, self._count, self._first = interpreter, 0, ""
        source, source_path = stack.enter_context(cache.new_file())
        self._target, target_path = stack.enter_context(cache.new_file())
        for module in modules:
            self._count += 1
            self._first = self._first or module.path
            for data in (module.path.encode("utf-8"), module.source):
                source.write(len(data).to_bytes(4, "little") + data)
        source.flush()
        # From standard input, so that no folder of ours is on its path; a hash seed, as sets are in order of hashes.
        program = stack.enter_context(_PROGRAM.open("rb"))
        keep = {
            name: os.environ[name] for name in ("PATH", "SYSTEMROOT", "LD_LIBRARY_PATH") if name in os.environ
        }
        self._process = subprocess.Popen(
            [interpreter.path, "-s", "-S", "-B", "-", str(source_path), str(target_path)],
            stdin=program,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={**keep, "PYTHONHASHSEED": "0", "PYTHONUTF8": "1"},
            cwd=source_path.parent,
        )
        stack.callback(self._end)

    def results(self) -> Iterator[bytes]:
        """The frames, a block at a time."""
        try:
            _, complaint = self._process.communicate(timeout=_TIMEOUT_S)
        except subprocess.TimeoutExpired as exc:
            raise self._failed(f"no end after {_TIMEOUT_S} s") from exc
        if self._process.returncode != 0 or sum(1 for _ in _spans(self._target)) != self._count:
            text = complaint.decode("utf-8", "replace").strip()
            raise self._failed(text.rpartition("\n")[2] or f"exit status {self._process.returncode}")
        self._target.seek(0)
        while block := self._target.read(_BLOCK_BYTES):
            yield block

    def _failed(self, what: str) -> CompileFailed:
        return CompileFailed(
            f"Python {self._interpreter.version} ({self._interpreter.path}) cannot compile {self._first} and the "
            f"modules after it: {what}",
            hint="check that this Python runs",
        )

    def _end(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()


def _spans(file: BinaryIO) -> Iterator[tuple[int, int]]:
    """Offset and length of each frame."""
    offset = 0
    while True:
        file.seek(offset)
        head = file.read(4)
        if len(head) < 4:
            return
        length = int.from_bytes(head, "little")
        yield offset + 4, length
        offset += 4 + length
