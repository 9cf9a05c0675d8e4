"""Layers of wheels: which wheels share a layer, and a layer made from them without compressing anything again."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO

from fnpack.oci.cache import LayerCache, LayerRecord
from fnpack.oci.recipe import BlobRecipe, key_of

if TYPE_CHECKING:
    from fnpack.dependencies.wheels import WheelFile
    from fnpack.oci.clashes import Clashes
    from fnpack.oci.place import Place
    from fnpack.oci.pythons import Interpreter

_SCHEMA = "wheels 1"
MOST_LAYERS = 40
_LARGE_BYTES = 5 << 20
_GROUP_BYTES = 16 << 20
_MOST_GROUPS = 8

Fetch = Callable[[Sequence[str]], object]


@dataclass(frozen=True, slots=True)
class WheelsRecipe(BlobRecipe):
    """A layer of one or more wheels, installed at `place`.

    `compiler` compiles their modules, or None does not. `left_out` are the files, by a wheel's hash, that another
    wheel brings. `fetch` is called with names of projects before their wheels are read, if they may be missing.
    """

    title: str
    wheels: tuple[WheelFile, ...]
    place: Place
    compiler: Interpreter | None = None
    left_out: Mapping[str, frozenset[str]] = field(default_factory=dict)
    fetch: Fetch | None = field(default=None, repr=False, compare=False)

    def key(self, cache: LayerCache) -> str:
        """Made of the wheels' hashes and of where and how they are installed."""
        place = self.place
        facts: list[object] = [_SCHEMA, place.root, place.interpreter, place.is_slim]
        facts.append(self.compiler.version if self.compiler else None)
        for wheel in self.wheels:
            facts += (wheel.sha256, wheel.filename, *sorted(self.left_out.get(wheel.sha256, ())))
        return key_of(*facts)

    def write(self, file: BinaryIO, cache: LayerCache) -> LayerRecord:
        """Write the layer. Raises WheelInvalid, CompileFailed, and what fetching raises."""
        from fnpack.oci.names import folders_of
        from fnpack.oci.wheel_part import WheelPart
        from fnpack.oci.writer import LayerWriter

        if self.fetch is not None:
            self.fetch([wheel.name for wheel in self.wheels])
        none: frozenset[str] = frozenset()
        parts = [
            WheelPart.plan(wheel, self.place, self.compiler, self.left_out.get(wheel.sha256, none), cache)
            for wheel in self.wheels
        ]
        writer = LayerWriter(file)
        for folder in folders_of([path for part in parts for path in part.paths()]):
            writer.folder(folder)
        for part in parts:
            part.write(writer)
        descriptor, diff_id = writer.finish()
        return LayerRecord(descriptor.media_type, descriptor.digest, descriptor.size_bytes, diff_id)


def group(
    wheels: Sequence[WheelFile], sizes: Mapping[str, int], most_layers: int = MOST_LAYERS
) -> list[tuple[WheelFile, ...]]:
    """Which wheels share a layer: a large one has its own, the others are put together.

    `sizes` are bytes by hash. Sizes and names alone decide, so that the same wheels are grouped the same way
    everywhere, and a new version of a small wheel changes one layer. Sorted by name; the shared layers are last, since
    one of many changes more often.
    """
    groups_bytes = sum(size for size in (sizes[wheel.sha256] for wheel in wheels) if size <= _LARGE_BYTES)
    number = 1
    while number < min(_MOST_GROUPS, most_layers // 2) and number * _GROUP_BYTES < groups_bytes:
        number *= 2
    by_size = sorted(wheels, key=lambda wheel: (-sizes[wheel.sha256], wheel.name))
    large = {wheel.sha256 for wheel in by_size[: most_layers - number] if sizes[wheel.sha256] > _LARGE_BYTES}
    shared: dict[int, list[WheelFile]] = {}
    alone: list[tuple[WheelFile, ...]] = []
    for wheel in sorted(wheels, key=lambda wheel: wheel.name):
        if wheel.sha256 in large:
            alone.append((wheel,))
        else:
            place = hashlib.sha256(wheel.name.encode()).digest()[0] % number
            shared.setdefault(place, []).append(wheel)
    return [*alone, *(tuple(shared[place]) for place in sorted(shared))]


def wheel_recipes(
    wheels: Sequence[WheelFile],
    place: Place,
    cache: LayerCache,
    *,
    compiler: Interpreter | None,
    sizes: Mapping[str, int] | None = None,
    known_clashes: Mapping[str, object] | None = None,
    most_layers: int = MOST_LAYERS,
    fetch: Fetch | None = None,
) -> tuple[tuple[WheelsRecipe, ...], Clashes]:
    """The layers of an image's packages, and the files that more than one package brings.

    `sizes` are what a lock says, in bytes by hash; wheels of which it says nothing have to be here, or are fetched.
    `known_clashes` is what an earlier image says (`KnownLayers.clashes`). Raises WheelInvalid and WheelsClash.
    """
    from fnpack.oci.clashes import find_clashes

    found = {wheel.sha256: size for wheel in wheels if (size := (sizes or {}).get(wheel.sha256)) is not None}
    unsized = [wheel for wheel in wheels if wheel.sha256 not in found]
    missing = [wheel.name for wheel in unsized if not wheel.path.is_file()]
    if missing and fetch is not None:
        fetch(missing)
    found |= {wheel.sha256: wheel.path.stat().st_size for wheel in unsized}
    clashes = find_clashes(wheels, place, cache, known_clashes or {}, fetch)
    left_out = clashes.left_out
    return tuple(
        WheelsRecipe(
            _title(group_),
            group_,
            place,
            compiler,
            {wheel.sha256: left_out[wheel.sha256] for wheel in group_ if wheel.sha256 in left_out},
            fetch,
        )
        for group_ in group(wheels, found, most_layers)
    ), clashes


def _title(wheels: Sequence[WheelFile]) -> str:
    if len(wheels) <= 3:
        return ", ".join(f"{wheel.name} {wheel.version}" for wheel in wheels)
    return f"{wheels[0].name} to {wheels[-1].name} ({len(wheels)} packages)"
