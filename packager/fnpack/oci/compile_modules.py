"""Compiles modules for an image; run as a program by a Python of the image's version: IN OUT.

IN holds modules one after the other: length and bytes of the path in the image, length and bytes of the source. OUT
gets length and bytes of each compiled file, in that order; length 0 for one that does not compile. Lengths are four
bytes, the lowest first. Standard library only, for every Python from 3.8 on.

A compiled file carries its source's hash and is never checked against the source, so no time is in it. What the
interpreter happened to do before must not show either: `marshal` marks an object as referable if anything else in
the process holds it, so marks that nothing refers to are taken out.
"""

from __future__ import annotations

import contextlib
import importlib.util
import marshal
import struct
import sys
import warnings
from pathlib import Path

UNCHECKED_HASH = 0b01
_MARK = 0x80
# What follows a type code, apart from objects (Python/marshal.c)
_FIXED_BYTES = {**dict.fromkeys(b"0NFTS.", 0), ord("i"): 4, ord("I"): 8, ord("g"): 8, ord("y"): 16}
_LONG, _SHORT = frozenset(b"stuAa"), frozenset(b"zZ")  # strings, with four bytes of length or with one
_CODE_NUMBERS_BYTES = 24 if sys.version_info < (3, 11) else 20
_CODE_OBJECTS = (8, 1) if sys.version_info < (3, 11) else (8, 2)  # before and after the first line's number


class UnknownCode(Exception):  # noqa: N818 - says what it is
    """A kind of object that this module does not know."""


def compiled(path: str, source: bytes) -> bytes:
    """The .pyc of a module, or nothing if it does not compile."""
    try:
        body = marshal.dumps(compile(source, path, "exec", dont_inherit=True, optimize=0))
    except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError):
        return b""
    with contextlib.suppress(
        UnknownCode, RecursionError
    ):  # a Python that is newer than this: its bytes as they are
        body = canonical(body)
    hashed = importlib.util.source_hash(source)
    return importlib.util.MAGIC_NUMBER + UNCHECKED_HASH.to_bytes(4, "little") + hashed + body


def canonical(data: bytes) -> bytes:
    """The same marshalled object without marks that nothing refers to, and with the others numbered anew.

    Raises UnknownCode.
    """
    reader = _Reader(data)
    reader.walk()
    used = {number for _, number in reader.references}
    out = bytearray(data)
    numbers: dict[int, int] = {}
    for number, place in enumerate(reader.marks):
        if number in used:
            numbers[number] = len(numbers)
        else:
            out[place] &= ~_MARK
    for place, number in reader.references:
        struct.pack_into("<i", out, place, numbers[number])
    return bytes(out)


class _Reader:
    """Walks over a marshalled object, noting the places of marks, and of references with their numbers."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0
        self.marks: list[int] = []
        self.references: list[tuple[int, int]] = []

    def walk(self) -> None:
        """One object and all in it."""
        data = self._data
        kind = data[self._at]
        if kind & _MARK:
            self.marks.append(self._at)
            kind &= ~_MARK
        self._at += 1
        if kind in _FIXED_BYTES:
            self._at += _FIXED_BYTES[kind]
        elif kind in _SHORT:
            self._at += 1 + data[self._at]
        elif kind in _LONG:
            self._skip(self._number())
        elif kind == ord("r"):
            place = self._at
            self.references.append((place, self._number()))
        elif kind == ord(")"):
            self._at += 1
            self._objects(data[self._at - 1])
        elif kind in b"([<>":
            self._objects(self._number())
        elif kind == ord("l"):
            self._skip(2 * abs(self._number()))
        elif kind == ord(":"):
            self._objects(3)
        elif kind == ord("c"):
            before, after = _CODE_OBJECTS
            self._at += _CODE_NUMBERS_BYTES
            self._objects(before)
            self._at += 4
            self._objects(after)
        else:
            raise UnknownCode(kind)

    def _objects(self, count: int) -> None:
        for _ in range(count):
            self.walk()

    def _skip(self, count: int) -> None:
        self._at += count

    def _number(self) -> int:
        self._at += 4
        return int.from_bytes(self._data[self._at - 4 : self._at], "little", signed=True)


def main(source: str, target: str) -> None:
    """Compile all of `source` into `target`."""
    warnings.simplefilter("ignore")
    with Path(source).open("rb") as modules, Path(target).open("wb") as results:
        while length := modules.read(4):
            path = modules.read(int.from_bytes(length, "little")).decode("utf-8")
            data = modules.read(int.from_bytes(modules.read(4), "little"))
            result = compiled(path, data)
            results.write(len(result).to_bytes(4, "little"))
            results.write(result)


if __name__ == "__main__":
    main(*sys.argv[1:])
