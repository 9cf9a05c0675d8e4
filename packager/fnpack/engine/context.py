"""A build context as a stream: the same files give the same bytes, whoever packed them and when."""

from __future__ import annotations

import os
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path

from fnpack.engine.errors import ImageBuildFailed
from fnpack.progress import Progress, ProgressEvent

CHUNK_BYTES = 1 << 20
STEP = "send the build context"


def tar_stream(context: Path, progress: Progress) -> Iterator[bytes]:
    """The folder as an uncompressed tar, in pieces of at most 1 MiB; reports bytes sent.

    Sorted by path, mtime 0, owner 0:0, modes 0644 or 0755 (so that a checkout's umask neither busts the cache nor
    hides a file from the image's user). Symbolic links stay links; sockets and devices are refused.
    """
    entries = [(name, context / name) for name in _names(context)]
    total = sum(path.lstat().st_size for _, path in entries if path.is_file() and not path.is_symlink())
    sent = 0
    progress(ProgressEvent(STEP, "started", total_bytes=total))
    for name, path in entries:
        try:
            info = _tar_info(name, path)
            yield info.tobuf(tarfile.PAX_FORMAT)
            if not info.isreg():
                continue
            for chunk in _content(path, info.size):
                yield chunk
                sent += len(chunk)
                progress(ProgressEvent(STEP, "running", current_bytes=sent, total_bytes=total))
        except OSError as exc:
            raise ImageBuildFailed(f"`{name}` cannot be read: {exc.strerror}", step=STEP) from exc
        yield bytes(-info.size % tarfile.BLOCKSIZE)
    yield bytes(2 * tarfile.BLOCKSIZE)
    progress(ProgressEvent(STEP, "done", current_bytes=sent, total_bytes=total))


def _names(context: Path) -> list[str]:
    """Every entry below the folder as a relative posix path, parents before children."""
    names: list[str] = []
    for folder, folders, files in os.walk(context, onerror=_refuse):
        base = Path(folder).relative_to(context)
        names += [(base / name).as_posix() for name in (*folders, *files)]
    return sorted(names, key=lambda name: name.split("/"))


def _refuse(exc: OSError) -> None:
    raise ImageBuildFailed(f"`{exc.filename}` cannot be read: {exc.strerror}", step=STEP) from exc


def _tar_info(name: str, path: Path) -> tarfile.TarInfo:
    found = path.lstat()
    info = tarfile.TarInfo(name)
    info.mode = 0o755 if found.st_mode & 0o111 else 0o644
    if stat.S_ISLNK(found.st_mode):
        info.type, info.linkname, info.mode = tarfile.SYMTYPE, os.readlink(path), 0o777  # noqa: PTH115 text as is
    elif stat.S_ISDIR(found.st_mode):
        info.type, info.mode = tarfile.DIRTYPE, 0o755
    elif stat.S_ISREG(found.st_mode):
        info.size = found.st_size
    else:
        raise ImageBuildFailed(f"`{name}` is neither a file, a folder nor a link", step=STEP)
    return info


def _content(path: Path, size: int) -> Iterator[bytes]:
    """Exactly `size` bytes of the file: the header that announced them is already on its way."""
    left = size
    with path.open("rb") as file:
        while left:
            chunk = file.read(min(CHUNK_BYTES, left))
            if not chunk:
                raise ImageBuildFailed(f"`{path.name}` became shorter while it was read", step=STEP)
            left -= len(chunk)
            yield chunk
