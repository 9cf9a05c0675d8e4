"""The user's cache of wheels and sources, by content: a file is there whole, under its hash, or not at all.

Several builds may use it at once: each writes to a file of its own, and the last step is a rename.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from fnpack.cache_folder import cache_folder
from fnpack.dependencies.errors import CacheUnusable
from fnpack.full_disk import is_full

_CHUNK_BYTES = 1 << 20


def place_of(sha256: str, filename: str) -> Path:
    """Where the file with this hash is, or will be."""
    return cache_folder() / "wheels" / sha256[:2] / sha256 / filename


@contextmanager
def writing(target: Path) -> Iterator[BinaryIO]:
    """A file that becomes `target` when the block ends well. Raises CacheUnusable."""
    import tempfile  # what only writing needs is not imported for a warm cache

    part: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=target.parent, prefix=".part-", delete=False) as file:
            part = Path(file.name)
            yield file  # type: ignore[misc]  # typeshed's wrapper is a BinaryIO in all but name
        part.chmod(0o644)
        part.replace(target)
    except OSError as error:
        raise unusable(target, error) from error
    finally:
        if part is not None:
            with suppress(OSError):
                part.unlink(missing_ok=True)


@contextmanager
def scratch() -> Iterator[Path]:
    """An empty folder in the cache, so that its files can be renamed into place; gone afterwards."""
    import shutil
    import tempfile

    root = cache_folder()
    try:
        root.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(dir=root, prefix=".work-"))
    except OSError as error:
        raise unusable(root, error) from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def keep(source: Path, filename: str) -> tuple[Path, str]:
    """Copy a file into the cache; returns its place there and its SHA-256."""
    import shutil

    sha256 = sha256_of(source)
    target = place_of(sha256, filename)
    if not target.is_file():
        with writing(target) as file, source.open("rb") as data:
            shutil.copyfileobj(data, file, _CHUNK_BYTES)
    return target, sha256


def read_note(kind: str, key: str) -> object:
    """What `write_note` kept, or None."""
    try:
        return json.loads((cache_folder() / kind / f"{key}.json").read_bytes())
    except (OSError, ValueError):
        return None


def write_note(kind: str, key: str, value: object) -> None:
    """Keep a small JSON value; a cache that cannot be written is no reason to fail."""
    with suppress(CacheUnusable), writing(cache_folder() / kind / f"{key}.json") as file:
        file.write(json.dumps(value, separators=(",", ":")).encode())


def sha256_of(path: Path) -> str:
    """The hash of a file's bytes, as 64 hex digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def unusable(path: Path, error: OSError) -> CacheUnusable:
    """The error for a cache that cannot be written."""
    if is_full(error):
        return CacheUnusable(
            f"no space left in the cache: {path.parent}",
            hint="free some space there, or name another folder with FNPACK_CACHE",
        )
    return CacheUnusable(
        f"the cache cannot be written: {error.filename or path}: {error.strerror or error}",
        hint="name a folder that can be written with FNPACK_CACHE",
    )
