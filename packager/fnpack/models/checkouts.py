"""A model's files under their own names, for builds to read: made whole, shared by all who ask, never edited."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

from fnpack.models.claims import claimed
from fnpack.models.record import ModelFile, ModelRecord

_STAGING = "staging"


def checkout(folder: Path, record: ModelRecord, place: Callable[[ModelFile, Path], None]) -> Path:
    """The entry of `record` below `folder`; what is not there yet is made by `place(file, target)`."""
    there = ready(folder, record)
    if there is not None:
        return there
    home = folder / _key(record)
    with claimed(folder / _STAGING) as staging:
        for file in record.files:
            place(file, staging / file.path)
        try:
            staging.rename(home)
        except OSError:
            if not home.is_dir():  # else another process was quicker, and its files are the same
                raise
    return home / record.entry


def ready(folder: Path, record: ModelRecord) -> Path | None:
    """The entry of `record` below `folder`, if it is there."""
    home = folder / _key(record)
    return home / record.entry if home.is_dir() else None


def forget(folder: Path, record: ModelRecord) -> None:
    """Remove the files of a model that was deleted."""
    shutil.rmtree(folder / _key(record), ignore_errors=True)


def keep_only(folder: Path, records: Iterable[ModelRecord]) -> None:
    """Remove the files of all models that are not among `records`."""
    kept = {_key(record) for record in records} | {_STAGING}
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.name not in kept:
            shutil.rmtree(path, ignore_errors=True)


def _key(record: ModelRecord) -> str:
    # The hash tells `Model` from `model` where the file system does not, and one registry from another.
    text = "\n".join(
        [record.id, record.created_time.isoformat(), *(f"{f.path} {f.digest}" for f in record.files)]
    )
    return f"{record.name[:100]}-{record.version}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
