"""Remembers checks that passed, so that what did not change is not checked again."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from fnpack.atomic_file import replacing
from fnpack.check.tree import checks_folder

CHILD = Path(__file__).parent / "child.py"
_FORMAT = 1


def key_of(**inputs: object) -> str:
    """Stands for everything that a check depends on; `inputs` are what JSON can hold."""
    text = json.dumps([_FORMAT, inputs], sort_keys=True)
    return hashlib.sha256(text.encode() + CHILD.read_bytes()).hexdigest()


def stamps(files: Iterable[tuple[str, Path]]) -> list[list[str | int]]:
    """What tells that files are those of before, without reading them: models may be large."""
    found: list[list[str | int]] = []
    for name, path in files:
        status = path.stat()
        found.append([name, status.st_size, status.st_mtime_ns, status.st_ino, status.st_dev])
    return sorted(found, key=str)


def recall(key: str) -> Mapping[str, object] | None:
    """What was noted of a check that passed, or None."""
    place = checks_folder() / "passed" / key
    try:
        found = json.loads(place.read_bytes())
    except (OSError, ValueError):
        return None
    with contextlib.suppress(OSError):
        os.utime(place)
    return found if isinstance(found, dict) else None


def note(key: str, facts: Mapping[str, object]) -> None:
    """Keep that a check passed; a cache that cannot be written means that it runs again."""
    with contextlib.suppress(OSError), replacing(checks_folder() / "passed" / key, 0o666) as file:
        file.write(json.dumps(dict(facts)).encode())
