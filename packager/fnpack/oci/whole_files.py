"""Files that an image or its SBOM becomes: whole or not at all, with the folders that they need."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, cast

from fnpack.oci.errors import OutputError

_OPTION = "--output"


@contextmanager
def partial(target: Path) -> Iterator[BinaryIO]:
    """A file that takes the target's place when all of it is written. Raises OutputError."""
    with new_folder(target.parent):
        file = _draft(target, _OPTION)
        try:
            with _told(target, _OPTION):
                with file:
                    yield file
                _name(file, target)
        finally:
            Path(file.name).unlink(missing_ok=True)


@contextmanager
def written_at_end(path: Path, data: bytes, option: str) -> Iterator[None]:
    """Write a file at once, under another name until the block has ended well. Raises OutputError.

    `option` is the one that names the file, for the error's hint.
    """
    with new_folder(path.parent, option):
        file = _draft(path, option)
        try:
            with _told(path, option), file:
                file.write(data)
            yield
            with _told(path, option):
                _name(file, path)
        finally:
            Path(file.name).unlink(missing_ok=True)


@contextmanager
def new_folder(folder: Path, option: str = _OPTION) -> Iterator[None]:
    """Make a folder and those above it; if the block fails, what is new and empty of them is removed again."""
    new = []
    for one in (folder, *folder.parents):
        if one.exists():
            break
        new.append(one)
    try:
        with _told(folder, option):
            folder.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException:
        for one in new:
            with suppress(OSError):
                one.rmdir()
        raise


def _draft(target: Path, option: str) -> BinaryIO:
    with _told(target, option):
        file = tempfile.NamedTemporaryFile(dir=target.parent, prefix=".fnpack-", delete=False)  # noqa: SIM115
    return cast("BinaryIO", file)


def _name(file: BinaryIO, target: Path) -> None:
    os.chmod(file.name, 0o644)  # noqa: PTH101 - as any file is made
    Path(file.name).replace(target)


@contextmanager
def _told(path: Path, option: str) -> Iterator[None]:
    """An OSError of the block as OutputError."""
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written: {error.strerror or error}",
            hint=f"free some space, or choose another place with {option}",
        ) from error
