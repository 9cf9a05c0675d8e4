"""Keeps layers and what is known of them between builds: by content, whole or not at all, up to a size.

Several builds may use one cache at once: each writes files of its own and renames them into place. Whatever is
missing is made again, so nothing here is ever needed, only quicker.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from fnpack.oci.content import Descriptor
from fnpack.oci.errors import LayerUnwritable

DEFAULT_LIMIT_BYTES = 10 * 1024**3
_SCHEMA = "1"  # of everything that is derived: another one makes all of it again
_IN_USE_S = 3600.0  # what a build touched lately stays
_ABANDONED_S = 86400.0  # a file that a build began and did not end
_TOUCH_S = 60.0
_NO_SPACE = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}


@dataclass(frozen=True, slots=True)
class LayerRecord:
    """What a recipe's layer is, known without making it."""

    media_type: str
    digest: str
    size_bytes: int
    diff_id: str

    def descriptor(self) -> Descriptor:
        """The layer's descriptor."""
        return Descriptor(self.media_type, self.digest, self.size_bytes)


class LayerCache:
    """A folder of blobs by digest, and of notes by key."""

    def __init__(self, folder: Path, limit_bytes: int = DEFAULT_LIMIT_BYTES) -> None:
        self.folder, self._limit_bytes = folder, limit_bytes
        self._spare: Path | None = None
        self._notes: dict[str, object] = {}  # of this process, for a folder that cannot be written
        self.is_kept = True  # False once the folder turned out to be read-only

    @classmethod
    def default(cls) -> LayerCache:
        """The user's, as FNPACK_CACHE and XDG_CACHE_HOME have it."""
        from fnpack.cache_folder import cache_folder

        return cls(cache_folder() / "layers")

    # --- notes -------------------------------------------------------------------------------------------------------
    def record(self, key: str) -> LayerRecord | None:
        """What a recipe with this key made the last time."""
        note = self.note("recipes", key)
        try:
            return LayerRecord(**note) if isinstance(note, dict) else None
        except TypeError:
            return None

    def remember(self, key: str, record: LayerRecord) -> None:
        """Keep what a recipe with this key makes."""
        facts = {name: getattr(record, name) for name in ("media_type", "digest", "size_bytes", "diff_id")}
        self.write_note("recipes", key, facts)

    def note(self, kind: str, key: str) -> object:
        """What `write_note` kept, or None."""
        path = self._note(kind, key)
        if path in self._notes:
            return self._notes[path]
        try:
            with open(path, "rb") as file:  # noqa: PTH123 - a dozen times on every build
                return json.loads(file.read())
        except (OSError, ValueError):
            return None

    def write_note(self, kind: str, key: str, value: object) -> None:
        """Keep a small JSON value; that it cannot be kept is no reason to fail."""
        from fnpack.registry.atomic import replacing

        path = Path(self._note(kind, key))
        try:
            with replacing(path) as file:
                file.write(json.dumps(value, separators=(",", ":")).encode())
        except OSError:
            self._notes[str(path)] = value

    def _note(self, kind: str, key: str) -> str:
        name = hashlib.sha256(f"{_SCHEMA}\0{key}".encode("utf-8", "surrogateescape")).hexdigest()
        return os.path.join(self.folder, kind, f"{name}.json")  # noqa: PTH118

    # --- blobs -------------------------------------------------------------------------------------------------------
    def blob(self, digest: str, size_bytes: int) -> Path | None:
        """The file with this digest, if it is here whole; it counts as used now."""
        for folder in (self.folder, self._spare):
            if folder is None:
                continue
            path = _blob(folder, digest)
            with suppress(OSError):
                status = path.stat()
                if status.st_size == size_bytes:
                    if time.time() - status.st_mtime > _TOUCH_S:
                        os.utime(path)
                    return path
        return None

    @contextmanager
    def new_file(self) -> Iterator[tuple[BinaryIO, Path]]:
        """A file to write; it is gone afterwards unless `keep` took it. Raises LayerUnwritable if there is no space."""
        path = self._workplace() / f".part-{os.getpid()}-{os.urandom(8).hex()}"
        try:
            with path.open("w+b") as file:
                yield cast("BinaryIO", file), path
        except OSError as exc:
            raise self._unwritable(exc) from exc
        finally:
            with suppress(OSError):
                path.unlink()

    def keep(self, path: Path, digest: str) -> Path:
        """Give a file of `new_file` the place that its digest has."""
        target = _blob(path.parent.parent, digest)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            path.replace(target)
        except OSError as exc:
            raise self._unwritable(exc) from exc
        self._prune()
        return target

    def drop(self, digest: str) -> None:
        """Forget a blob that turned out to be wrong."""
        for folder in (self.folder, self._spare):
            if folder is not None:
                with suppress(OSError):
                    _blob(folder, digest).unlink()

    def _workplace(self) -> Path:
        """Where parts are written: the cache, or a folder that goes away with the process where it is read-only."""
        if self._spare is None:
            folder = self.folder / "parts"
            try:
                folder.mkdir(parents=True, exist_ok=True)
                if os.access(folder, os.W_OK):
                    return folder
            except OSError as exc:
                if exc.errno in _NO_SPACE:
                    raise self._unwritable(exc) from exc
            self._spare, self.is_kept = _temporary(), False
        folder = self._spare / "parts"
        folder.mkdir(exist_ok=True)
        return folder

    def _unwritable(self, exc: OSError) -> LayerUnwritable:
        where = exc.filename or self.folder
        if exc.errno in _NO_SPACE:
            return LayerUnwritable(
                f"no space left for a layer: {where}",
                hint="make room, or name another folder in FNPACK_CACHE",
            )
        return LayerUnwritable(
            f"a layer cannot be written: {where}: {exc.strerror or exc}",
            hint="name a folder that can be written in FNPACK_CACHE",
        )

    def _prune(self) -> None:
        """Remove what was not used for longest until the limit is kept, and what dead builds left behind."""
        now, total, files = time.time(), 0, []
        for path, status in _files(self.folder):
            if path.parent.name == "parts":
                if now - status.st_mtime > _ABANDONED_S:
                    with suppress(OSError):
                        path.unlink()
                continue
            total += status.st_size
            files.append((status.st_mtime, status.st_size, path))
        files.sort()
        for used_s, size_bytes, path in files:
            if total <= self._limit_bytes or now - used_s < _IN_USE_S:
                break
            with suppress(OSError):
                path.unlink()
                total -= size_bytes


def _files(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    for pattern in ("blobs/*", "parts/*"):
        for path in folder.glob(pattern):
            with suppress(OSError):
                yield path, path.stat()


def _blob(folder: Path, digest: str) -> Path:
    return folder / "blobs" / digest.partition(":")[2]


def _temporary() -> Path:
    import atexit
    import shutil
    import tempfile

    folder = Path(tempfile.mkdtemp(prefix="fnpack-layers-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
