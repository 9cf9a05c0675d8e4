"""Layers of models: a large file is a layer of its own, small ones go together.

A layer of a large file is a plain tar, read straight from where the file lies, or a gzip where that is much smaller.
What was found out about a file is remembered with its size, time and inode, so that a model that did not change is not
read again.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from fnpack.atomic_file import replacing
from fnpack.oci.content import Layer
from fnpack.oci.file_digests import HashedFile, is_young
from fnpack.oci.file_tar import FileTar, TarFile, described
from fnpack.oci.layer_cache import Known, LayerCache
from fnpack.oci.recipes import FORMAT, layer_of
from fnpack.oci.tree_layers import FilesRecipe

LARGE_BYTES = 16 * 1024 * 1024
MOST_LAYERS = 30  # of large files, for all models: engines take 127 layers in all


class ModelLayers(NamedTuple):
    """What a model is in an image: layers, and the files in them by path.

    `known` are the layers that had to be made, by their recipes' keys.
    """

    layers: tuple[Layer, ...]
    files: tuple[HashedFile, ...]
    known: Mapping[str, Known]


class _Noted(NamedTuple):
    """What is known of large files: their tar, the SHA-256 of each, and whether they compress well."""

    known: Known
    sha256: tuple[str, ...]
    packs: bool


def model_layers(
    files: Mapping[str, Path],
    title: str,
    cache: LayerCache,
    *,
    mtime_s: int = 0,
    remote: Mapping[str, Known] | None = None,
    most: int = MOST_LAYERS,
) -> ModelLayers:
    """The layers of one model. `files` maps paths in the image (no leading slash) to the files here.

    `remote` are layers that an earlier image has, by key; `most` is how many layers large files may take.
    """
    large = [
        TarFile.of(path, file) for path, file in sorted(files.items()) if file.stat().st_size > LARGE_BYTES
    ]
    own = {one.path for one in large}
    small = {path: file for path, file in sorted(files.items()) if path not in own}
    layers: list[Layer] = []
    hashed: list[HashedFile] = []
    known: dict[str, Known] = {}
    if small:
        recipe = FilesRecipe(small, title, note=_note_of_small(small, cache))
        layers.append(layer_of(recipe, cache, mtime_s=mtime_s))
        hashed += recipe.hashed
    for group in _groups(large, most):
        noted = _noted(group, cache, mtime_s)
        name = PurePosixPath(group[0].path).name + (f" and {len(group) - 1} more" if group[1:] else "")
        layers.append(_layer(group, noted, f"{title} {name}", cache, mtime_s, remote, known))
        hashed += [
            HashedFile(one.path, sha256, one.size_bytes)
            for one, sha256 in zip(group, noted.sha256, strict=True)
        ]
    return ModelLayers(tuple(layers), tuple(sorted(hashed, key=lambda one: one.path)), known)


def _groups(large: Sequence[TarFile], most: int) -> list[Sequence[TarFile]]:
    """One file each, or neighbours together where there are too many."""
    count = min(len(large), max(1, most))
    ends = [len(large) * number // count for number in range(count + 1)] if count else []
    return [large[start:end] for start, end in itertools.pairwise(ends)]


def _layer(  # noqa: PLR0917 - a step of `model_layers`
    group: Sequence[TarFile],
    noted: _Noted,
    title: str,
    cache: LayerCache,
    mtime_s: int,
    remote: Mapping[str, Known] | None,
    known: dict[str, Known],
) -> Layer:
    if not noted.packs:
        tar = noted.known
        return Layer(FileTar(tar.descriptor, tuple(group), mtime_s), tar.diff_id, title)
    from fnpack.oci.packed_file import PackedRecipe

    recipe = PackedRecipe(group[0], noted.sha256[0], title)
    layer = layer_of(recipe, cache, mtime_s=mtime_s, remote=remote)
    known[recipe.key] = Known.of(layer)
    return layer


def _noted(group: Sequence[TarFile], cache: LayerCache, mtime_s: int) -> _Noted:
    note = _note(group, cache, mtime_s)
    stamps = [list(one.stamp) for one in group]
    found = _read(note, stamps)
    if found is None:
        from fnpack.oci.packed_file import compresses

        were_young = any(is_young(one.stamp) for one in group)
        found = _Noted(*described(group, mtime_s), packs=len(group) == 1 and compresses(group[0]))
        if not were_young:
            _keep(note, stamps, found)
    return found


def _note(group: Sequence[TarFile], cache: LayerCache, mtime_s: int) -> Path:
    facts = [FORMAT, [[one.path, str(one.file.resolve())] for one in group], mtime_s]
    return cache.folder / "models" / hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _note_of_small(files: Mapping[str, Path], cache: LayerCache) -> Path:
    facts = [FORMAT, sorted((path, str(file.resolve())) for path, file in files.items())]
    return cache.folder / "models" / hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _read(note: Path, stamps: Sequence[Sequence[int]]) -> _Noted | None:
    try:
        noted = json.loads(note.read_bytes())
        if noted["stamps"] != stamps:
            return None
        return _Noted(Known(**noted["known"]), tuple(noted["sha256"]), bool(noted["packs"]))
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _keep(note: Path, stamps: Sequence[Sequence[int]], found: _Noted) -> None:
    facts = {"stamps": stamps, "known": found.known._asdict(), "sha256": found.sha256, "packs": found.packs}
    with contextlib.suppress(OSError), replacing(note, 0o666) as file:  # it is read again next time
        file.write(json.dumps(facts).encode())
