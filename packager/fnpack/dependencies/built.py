"""Remembers which wheel was built of a source for a target, so that a build that was done needs no builder."""

from __future__ import annotations

import hashlib
from pathlib import Path

from fnpack.cache_pruning import used
from fnpack.dependencies.cache import place_of, read_note, write_note
from fnpack.dependencies.local import tree_digest
from fnpack.dependencies.selection import Selected
from fnpack.dependencies.target import Target
from fnpack.dependencies.wheels import WheelFile

_SCHEMA = "1"


def content_key(source: Selected, *more: str) -> str:
    """A hash of the source's contents, wherever it is, and of `more`."""
    content = source.sha256 or source.commit
    if source.kind == "folder":
        content = tree_digest(Path(source.path or ""))
    facts = [_SCHEMA, source.kind, content, source.subdirectory, *more]
    return hashlib.sha256("\0".join(facts).encode()).hexdigest()


def recall(kind: str, key: str) -> WheelFile | None:
    """The wheel that was remembered, if it is still in the cache."""
    kept = read_note(kind, key)
    if not isinstance(kept, dict):
        return None
    try:
        wheel = WheelFile(path=place_of(kept["sha256"], kept["filename"]), **kept)
    except (KeyError, TypeError):  # of another version of fnpack
        return None
    used(wheel.path)
    return wheel if wheel.path.is_file() else None


def remember(kind: str, key: str, wheel: WheelFile) -> None:
    """Keep what `recall` gives."""
    facts = {"name": wheel.name, "version": wheel.version, "sha256": wheel.sha256, "filename": wheel.filename}
    write_note(kind, key, facts)


def fitting(source: Selected, target: Target) -> WheelFile | None:
    """The wheel of this source that was found to run on `target`."""
    return recall("fitting", content_key(source, repr(target)))
