"""Named values inside a frame: their names, kinds and sizes are facts, their bytes follow one another in the payload.

Kinds are those of Azure's protocol between host and worker: string, bytes, json, int, double, none, and http, which
holds nothing itself: a request's body stands behind all values, the rest of it is facts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Value:
    """One value. `data` is what the kind says: UTF-8 text for string, json, int and double."""

    name: str
    kind: str
    data: bytes = b""


def pack(
    values: Sequence[Value], rest: bytes | memoryview = b""
) -> tuple[list[list[object]], bytes | memoryview]:
    """The facts `[[name, kind, size], ...]` and the payload; `rest` is put behind the values."""
    pieces: list[bytes | memoryview] = [value.data for value in values if value.data]
    if rest:
        pieces.append(rest)
    payload = pieces[0] if len(pieces) == 1 else b"".join(pieces)
    return [[value.name, value.kind, len(value.data)] for value in values], payload


def unpack(facts: object, payload: bytes) -> Iterator[Value]:
    """The values that `facts` describe, in order."""
    start = 0
    for name, kind, size in _entries(facts):
        whole = start == 0 and size == len(payload)
        yield Value(name, kind, payload if whole else payload[start : start + size])
        start += size


def rest_of(facts: object, payload: bytes) -> bytes:
    """What stands in the payload behind the values."""
    start = sum(size for _, _, size in _entries(facts))
    return payload[start:] if start else payload


def _entries(facts: object) -> Iterable[tuple[str, str, int]]:
    if not isinstance(facts, list):
        return ()
    return [(str(name), str(kind), int(size)) for name, kind, size in facts]
