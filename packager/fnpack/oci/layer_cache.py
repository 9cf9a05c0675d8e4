"""Keeps layers that were made, by what they were made from. Safe under builds at once: nothing is seen half-written.

`layers/<digest>` holds bytes, `recipes/<key>` says which layer a recipe makes.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

from fnpack.atomic_file import replacing
from fnpack.oci.content import Descriptor, FileContent, Layer
from fnpack.oci.errors import LayerCacheError

KEEP_BYTES = 10 * 1024**3


class Known(NamedTuple):
    """What a recipe makes, without the bytes."""

    media_type: str
    digest: str
    diff_id: str
    size_bytes: int

    @classmethod
    def of(cls, layer: Layer) -> Known:
        """Of a layer that is there."""
        found = layer.descriptor
        return cls(found.media_type, found.digest, layer.diff_id, found.size_bytes)

    @property
    def descriptor(self) -> Descriptor:
        """Of the layer's bytes."""
        return Descriptor(self.media_type, self.digest, self.size_bytes)


class LayerCache:
    """The layers below one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def known(self, key: str) -> Known | None:
        """What the recipe `key` makes, if it was made before; its bytes may be gone."""
        try:
            return Known(**json.loads((self.folder / "recipes" / key).read_bytes()))
        except (OSError, ValueError, TypeError):
            return None

    def path(self, digest: str) -> Path:
        """Where a layer's bytes are kept."""
        return self.folder / "layers" / digest.removeprefix("sha256:")

    def layer(self, key: str, title: str) -> Layer | None:
        """The layer of a recipe with its bytes, or None."""
        known = self.known(key)
        if known is None:
            return None
        path = self.path(known.digest)
        try:
            if path.stat().st_size != known.size_bytes:
                return None
        except OSError:
            return None
        with contextlib.suppress(OSError):  # another's, or on a disk that is not written to
            os.utime(path)  # what was used last is thrown away last
        return Layer(FileContent(known.descriptor, path), known.diff_id, title)

    @contextmanager
    def writing(self) -> Iterator[BinaryIO]:
        """A file for a layer's bytes; hand it to `keep` inside the block, else it vanishes."""
        try:
            (self.folder / "layers").mkdir(parents=True, exist_ok=True)
            file = tempfile.NamedTemporaryFile(dir=self.folder / "layers", prefix=".new-", delete=False)  # noqa: SIM115
        except OSError as error:
            raise self._failed(error) from error
        try:
            with file:
                yield file  # type: ignore[misc]
        except OSError as error:
            raise self._failed(error) from error
        finally:
            with contextlib.suppress(OSError):
                Path(file.name).unlink()

    def keep(self, file: BinaryIO, key: str, known: Known) -> None:
        """Make what was written the layer of the recipe `key`."""
        try:
            file.close()  # Windows renames no open file
            Path(file.name).replace(self.path(known.digest))
            self.remember(key, known)
        except OSError as error:
            raise self._failed(error) from error

    def remember(self, key: str, known: Known) -> None:
        """Note what the recipe `key` makes, also where the bytes are elsewhere."""
        with replacing(self.folder / "recipes" / key, 0o666) as file:
            file.write(json.dumps(known._asdict()).encode())

    def prune(self, keep_bytes: int = KEEP_BYTES) -> int:
        """Remove the layers that were used longest ago until at most `keep_bytes` are left; returns how many."""
        found = []
        for path in (self.folder / "layers").glob("[0-9a-f]*"):
            with contextlib.suppress(OSError):
                found.append((path.stat().st_mtime, path.stat().st_size, path))
        total, removed = sum(size for _, size, _ in found), 0
        for _, size, path in sorted(found):
            if total <= keep_bytes:
                break
            with contextlib.suppress(OSError):
                path.unlink()
                total, removed = total - size, removed + 1
        return removed

    def _failed(self, error: OSError) -> LayerCacheError:
        return LayerCacheError(
            f"layers cannot be kept in {self.folder}: {error.strerror or error}",
            hint="free some space there, or name another folder with FNPACK_CACHE",
        )
