"""An image's labels: what it was made from, the same whoever builds it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import fnpack
from fnpack.app.directory import MARKER

_CHUNK_BYTES = 1 << 20
Files = Iterable[tuple[str, Path]]


def labels(
    app: Path,
    base_image: str,
    models: Mapping[str, Files],
    sha256: Callable[[Path], str] | None = None,
) -> dict[str, str]:
    """The labels of an app directory's image.

    `models` are the files of each model, `name:version`, with their posix paths below the model's folder. `sha256`
    gives a file's digest in hex, for callers that know it without reading the file.
    """
    digest = sha256 or file_sha256
    script = json.loads((app / MARKER).read_text("utf-8"))["entry_script"]
    found = {
        "io.fnpack.entry-script": script,
        "io.fnpack.entry-script.sha256": file_sha256(app / script),
        "io.fnpack.version": fnpack.__version__,
        "org.opencontainers.image.base.name": base_image,
        "org.opencontainers.image.title": Path(script).stem,
    }
    listed = " ".join(f"{name}={_tree_sha256(files, digest)}" for name, files in models.items())
    return found | ({"io.fnpack.models.sha256": listed} if listed else {})


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file, in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _tree_sha256(files: Files, sha256: Callable[[Path], str]) -> str:
    """The digest of `<file's sha256>  <path>` lines, as `sha256sum` would list files sorted by path."""
    lines = (f"{sha256(source)}  {path}\n" for path, source in sorted(files))
    return hashlib.sha256("".join(lines).encode()).hexdigest()
