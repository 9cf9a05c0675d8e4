"""Copies model files and computes their digests on the way. It knows no registry."""

from __future__ import annotations

import fcntl
import hashlib
import os
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from fnpack.models.errors import ContentDamaged
from fnpack.models.record import ModelFile
from fnpack.progress import Progress, ProgressEvent

_CHUNK = 1 << 20
_FICLONE = 0x40049409  # Linux: share the blocks of another file until one of the two is written
OnBytes = Callable[[int], None]


class Transfer:
    """Reports bytes moved as one step: started, running at most ten times a second, done or failed."""

    def __init__(self, step: str, total_bytes: int, progress: Progress) -> None:
        self._step, self._total, self._progress = step, total_bytes, progress
        self._moved, self._shown, self._since = 0, 0.0, 0.0

    def __enter__(self) -> Transfer:
        self._since = time.monotonic()
        self._progress(ProgressEvent(self._step, "started", total_bytes=self._total, current_bytes=0))
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        took = time.monotonic() - self._since
        self._progress(ProgressEvent(self._step, "done" if kind is None else "failed", duration_s=took))

    def moved(self, size_bytes: int) -> None:
        """Say that so many more bytes are done."""
        self._moved += size_bytes
        if time.monotonic() - self._shown >= 0.1:
            self._shown = time.monotonic()
            self._progress(
                ProgressEvent(
                    self._step,
                    "running",
                    current_bytes=min(self._moved, self._total),
                    total_bytes=self._total,
                )
            )


def take(source: Path, target: Path, path: str, on_bytes: OnBytes) -> ModelFile:
    """Copy `source` to `target`, which nobody writes from then on; it is on disk when this returns."""
    with source.open("rb") as given, target.open("xb") as copy:
        executable = os.fstat(given.fileno()).st_mode & 0o100 != 0
        if _cloned(given, copy):
            copy.close()
            with target.open("rb") as clone:
                digest, size = _copied(clone, None, on_bytes)
        else:
            digest, size = _copied(given, copy, on_bytes)
        with target.open("rb") as written:
            os.fsync(written.fileno())
    target.chmod(0o444)
    return ModelFile(path, digest, size, executable)


def put(source: Path, target: Path, file: ModelFile, on_bytes: OnBytes) -> None:
    """Copy a stored file to where it can be edited; `target` appears whole. Raises ContentDamaged."""
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name[:100]}.{uuid.uuid4().hex[:8]}")
    try:
        with opened(source, file) as given, draft.open("xb") as copy:
            if _cloned(given, copy):
                digest, size = _copied(given, None, on_bytes)
            else:
                digest, size = _copied(given, copy, on_bytes)
        check(file, digest, size)
        draft.chmod(0o755 if file.executable else 0o644)
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)


def receive(download: Callable[[Path], None], target: Path, file: ModelFile) -> None:
    """Have a file downloaded beside `target`, which then appears whole. Raises ContentDamaged."""
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name[:100]}.{uuid.uuid4().hex[:8]}")
    try:
        try:
            download(draft)
        except FileNotFoundError:
            raise missing(file) from None
        check(file, *digest_of(draft))
        draft.chmod(0o755 if file.executable else 0o644)
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)


def link(source: Path, target: Path, file: ModelFile, on_bytes: OnBytes) -> None:
    """Give a stored file another name without a copy, where the file system can; it stays read-only."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise missing(file) from None
    except OSError:
        put(source, target, file, on_bytes)
        target.chmod(0o555 if file.executable else 0o444)
    else:
        on_bytes(file.size_bytes)


def opened(source: Path, file: ModelFile) -> BinaryIO:
    """Open a stored file. Raises ContentDamaged where it is gone."""
    try:
        return source.open("rb")
    except FileNotFoundError:
        raise missing(file) from None


def missing(file: ModelFile) -> ContentDamaged:
    """The error for a stored file that is gone."""
    return ContentDamaged(
        f"the registry has lost the file `{file.path}`: its model was just deleted, or somebody removed it",
        hint="register the model again, as a new version",
    )


def check(file: ModelFile, digest: str, size_bytes: int) -> None:
    """Raise ContentDamaged unless digest and size are what was registered."""
    if digest != file.digest or size_bytes != file.size_bytes:
        raise ContentDamaged(
            f"the registry's copy of `{file.path}` is not what was registered "
            f"({size_bytes} bytes, digest {digest[:12]}; registered: {file.size_bytes}, {file.digest[:12]})",
            hint="register the model again, as a new version",
        )


def digest_of(path: Path, on_bytes: OnBytes = lambda _: None) -> tuple[str, int]:
    """SHA-256 and size of a file."""
    with path.open("rb") as given:
        return _copied(given, None, on_bytes)


def sync_folder(folder: Path) -> None:
    """Make renames in `folder` outlive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _copied(given: BinaryIO, copy: BinaryIO | None, on_bytes: OnBytes) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    for chunk in _chunks(given):
        digest.update(chunk)
        size += len(chunk)
        if copy is not None:
            copy.write(chunk)
        on_bytes(len(chunk))
    if copy is not None:
        copy.flush()
    return digest.hexdigest(), size


def _chunks(given: BinaryIO) -> Iterator[bytes]:
    while chunk := given.read(_CHUNK):
        yield chunk


def _cloned(given: BinaryIO, copy: BinaryIO) -> bool:
    if sys.platform != "linux":
        return False
    try:
        fcntl.ioctl(copy.fileno(), _FICLONE, given.fileno())
    except OSError:  # a file system that cannot share blocks, or two of them
        return False
    return True
