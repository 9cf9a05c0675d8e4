"""The layers of fnpack's own function host: what it needs from an index, and the host itself."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from fnpack.oci.cache import LayerCache, LayerRecord
from fnpack.oci.content import LAYER
from fnpack.oci.files import FileEntry, FilesRecipe
from fnpack.oci.place import Place
from fnpack.oci.recipe import BlobRecipe, key_of
from fnpack.oci.runtime import HOST_ROOT

if TYPE_CHECKING:
    from fnpack.oci.pythons import Interpreter

_SCHEMA = "host 1"
_KIND = "host-sources"
PLACE = Place(
    HOST_ROOT, is_slim=True
)  # of the host's wheels: no scripts, nothing for builds, no debug information


@dataclass(frozen=True, slots=True)
class HostRecipe(BlobRecipe):
    """The packages of the host itself, and their compiled modules if there is a compiler."""

    packages: tuple[Path, ...]  # the folders of fnpack_host and fnpack_triggers
    compiler: Interpreter | None = None
    title: str = "fnpack host"

    @classmethod
    def installed(cls, compiler: Interpreter | None) -> HostRecipe:
        """The host that is installed beside fnpack."""
        import fnpack_host
        import fnpack_triggers

        folders = (Path(str(package.__file__)).parent for package in (fnpack_host, fnpack_triggers))
        return cls(tuple(folders), compiler)

    def key(self, cache: LayerCache) -> str:
        """Made of the sources; they are read only if one of them looks changed."""
        files = sorted(file for package in self.packages for file in _sources(package))
        state = key_of(*(fact for path, _, size, time_ns in files for fact in (path, size, time_ns)))
        content = cache.note(_KIND, state)
        if not isinstance(content, str):
            parts = [(path, hashlib.sha256(source.read_bytes()).hexdigest()) for path, source, _, _ in files]
            content = key_of(*(fact for part in parts for fact in part))
            cache.write_note(_KIND, state, content)
        return key_of(_SCHEMA, HOST_ROOT, content, self.compiler.version if self.compiler else None)

    def write(self, file: BinaryIO, cache: LayerCache) -> LayerRecord:
        """Write the layer, as a plain tar: it is small. Raises CompileFailed."""
        root = HOST_ROOT.strip("/")
        files = [(path, source) for package in self.packages for path, source, _, _ in _sources(package)]
        entries = [FileEntry(f"{root}/{path}", data=source.read_bytes()) for path, source in sorted(files)]
        entries += self._compiled(entries, cache)
        _, layer = FilesRecipe(self.title, tuple(entries)).find(cache)
        assert layer is not None
        with layer.content.open() as stream:
            file.write(stream.read())
        descriptor = layer.descriptor
        return LayerRecord(LAYER, descriptor.digest, descriptor.size_bytes, layer.diff_id)

    def _compiled(self, entries: list[FileEntry], cache: LayerCache) -> list[FileEntry]:
        from fnpack.oci.pyc import Module, compiled, pyc_path

        if self.compiler is None:
            return []
        sources = [entry for entry in entries if entry.path.endswith(".py")]
        modules = (Module(f"/{entry.path}", entry.data) for entry in sources)
        pack = compiled(f"host {self.key(cache)}", modules, len(sources), self.compiler, cache)
        data = pack.path.read_bytes()
        return [
            FileEntry(pyc_path(entry.path, self.compiler), data=data[start : start + length])
            for entry, (start, length) in zip(sources, pack.spans, strict=True)
            if length
        ]


def _sources(package: Path) -> Iterator[tuple[str, Path, int, int]]:
    """Path in the layer, file, size and time of each file of a package."""
    folders = [str(package)]
    above = len(str(package.parent)) + 1
    while folders:
        for entry in os.scandir(folders.pop()):
            if entry.name == "__pycache__":
                continue
            if entry.is_dir():
                folders.append(entry.path)
            else:
                status = entry.stat()
                path = entry.path[above:].replace(os.sep, "/")
                yield path, Path(entry.path), status.st_size, status.st_mtime_ns
