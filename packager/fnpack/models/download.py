"""Copies a model to a folder of the user's, who may have files there already."""

from __future__ import annotations

from pathlib import Path

from fnpack.models.errors import ModelExists
from fnpack.models.record import ModelRecord
from fnpack.models.registry import ModelRegistry
from fnpack.progress import Progress, ignore


def download(
    registry: ModelRegistry,
    record: ModelRecord,
    folder: Path,
    *,
    exist_ok: bool = False,
    progress: Progress = ignore,
) -> Path:
    """Write the model's entry into `folder`; returns its path.

    Raises ModelExists before anything is written, if a file would be replaced and `exist_ok` is not set.
    """
    there = [file.path for file in record.files if (folder / file.path).exists()]
    if there and not exist_ok:
        more = f" and {len(there) - 1} more" if len(there) > 1 else ""
        raise ModelExists(
            f"{folder / there[0]}{more} is already there, so {record.id} is not downloaded",
            hint="choose another folder, or allow it: `--exist-ok`, in Python `exist_ok=True`",
        )
    return registry.fetch(record, folder, progress)
