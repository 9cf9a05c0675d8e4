"""Files that appear whole or not at all. `tempfile` is not used: importing it takes longer than a request."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, cast


@contextmanager
def replacing(path: Path, mode: int = 0o600) -> Iterator[BinaryIO]:
    """A new file beside `path` that takes its name when the block ends well. By default its owner's alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".part-{os.urandom(8).hex()}")
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_BINARY", 0)
    try:
        with os.fdopen(os.open(part, flags, mode), "wb") as file:
            yield cast("BinaryIO", file)
        part.replace(path)
    except BaseException:
        with suppress(OSError):
            part.unlink()
        raise
