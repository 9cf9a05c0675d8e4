"""Named values inside a frame: their names, kinds and sizes are facts, their bytes follow one another in the payload.

Kinds are those of Azure's protocol between host and worker: string, bytes, json, int, double, none, the collections
collection_string and collection_bytes, whose items follow one another, and http, which holds nothing itself: a
request's body stands behind all values, the rest of it is facts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

COLLECTIONS = ("collection_string", "collection_bytes")


@dataclass(frozen=True, slots=True)
class Value:
    """One value. `data` is what the kind says: UTF-8 text for string, json, int and double.

    `sizes` cut the data of a collection into its items.
    """

    name: str
    kind: str
    data: bytes = b""
    sizes: tuple[int, ...] = ()

    @classmethod
    def of_items(cls, name: str, kind: str, items: Sequence[bytes]) -> Value:
        """A collection."""
        return cls(name, kind, b"".join(items), tuple(len(item) for item in items))

    @property
    def items(self) -> list[bytes]:
        """The items of a collection."""
        items, start = [], 0
        for size in self.sizes:
            items.append(self.data[start : start + size])
            start += size
        return items


def pack(
    values: Sequence[Value], rest: bytes | memoryview = b""
) -> tuple[list[list[object]], bytes | memoryview]:
    """The facts `[[name, kind, size], ...]` and the payload; `rest` is put behind the values.

    The size of a collection is the list of its items' sizes.
    """
    pieces: list[bytes | memoryview] = [value.data for value in values if value.data]
    if rest:
        pieces.append(rest)
    payload = pieces[0] if len(pieces) == 1 else b"".join(pieces)
    return [[value.name, value.kind, _size_fact(value)] for value in values], payload


def unpack(facts: object, payload: bytes) -> Iterator[Value]:
    """The values that `facts` describe, in order."""
    start = 0
    for name, kind, sizes in _entries(facts):
        size = sum(sizes)
        whole = start == 0 and size == len(payload)
        data = payload if whole else payload[start : start + size]
        yield Value(name, kind, data, sizes if kind in COLLECTIONS else ())
        start += size


def rest_of(facts: object, payload: bytes) -> bytes:
    """What stands in the payload behind the values."""
    start = sum(sum(sizes) for _, _, sizes in _entries(facts))
    return payload[start:] if start else payload


def _size_fact(value: Value) -> object:
    return list(value.sizes) if value.kind in COLLECTIONS else len(value.data)


def _entries(facts: object) -> Iterable[tuple[str, str, tuple[int, ...]]]:
    if not isinstance(facts, list):
        return ()
    return [
        (str(name), str(kind), tuple(map(int, size)) if isinstance(size, list) else (int(size),))
        for name, kind, size in facts
    ]
