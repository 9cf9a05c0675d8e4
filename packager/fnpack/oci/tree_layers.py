"""Layers made from files on this machine: the app, fnpack's host, a conda environment."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from fnpack.oci.compiled import compiled, interpreter
from fnpack.oci.errors import UnsafeContent
from fnpack.oci.file_digests import HashedFile, Stamp, changed, chunks, hashed_files, stamp_of
from fnpack.oci.recipes import key_of

if TYPE_CHECKING:
    from fnpack.oci.writer import LayerWriter


class FilesRecipe:
    """A layer of small files. `files` maps paths in the image (no leading slash) to paths here.

    With a `python_version` their modules are compiled for it, too. `note` is where their digests are remembered.
    """

    is_gzip = False

    def __init__(
        self,
        files: Mapping[str, Path],
        title: str,
        python_version: str | None = None,
        note: Path | None = None,
    ) -> None:
        self.files, self.title, self.python_version, self.note = files, title, python_version, note

    @cached_property
    def key(self) -> str:
        """Of names, modes and contents."""
        entries = [(one.path, one.is_executable, one.sha256) for one in self.hashed]
        version = self.python_version if self.python_version and interpreter(self.python_version) else None
        return key_of("files", entries=entries, python=version)

    @property
    def size_bytes(self) -> int:
        """Of all files."""
        return sum(one.size_bytes for one in self.hashed)

    @property
    def hashed(self) -> tuple[HashedFile, ...]:
        """The files by path."""
        return tuple(file for file, _ in self._found)

    @cached_property
    def _found(self) -> list[tuple[HashedFile, Stamp]]:
        return hashed_files(self.files, self.note)

    def write(self, writer: LayerWriter) -> None:
        """Write the files, and the compiled modules after them. Raises UnsafeContent if one changed since."""
        sources = {}
        for one, stamp in self._found:
            source = self.files[one.path]
            try:
                writer.stream(one.path, chunks(source), one.size_bytes, is_executable=one.is_executable)
            except ValueError as error:
                raise changed(source) from error
            if stamp_of(source) != stamp:
                raise changed(source)
            if self.python_version and one.path.endswith(".py"):
                sources[one.path] = source.read_bytes()
        if self.python_version:
            for path, content in sorted(compiled(sources, self.python_version).items()):
                writer.file(path, content)


class TreeRecipe(NamedTuple):
    """A layer of a whole folder with its links, such as a conda environment; `digest` stands for its content."""

    root: Path
    prefix: str  # in the image, without a leading slash
    digest: str
    title: str

    @property
    def is_gzip(self) -> bool:
        """A plain tar: the registry's storage, or nobody, compresses it."""
        return False

    @property
    def key(self) -> str:
        """Of the digest and the place."""
        return key_of("tree", digest=self.digest, prefix=self.prefix)

    @property
    def size_bytes(self) -> int:
        """Of all files."""
        return sum(path.lstat().st_size for path in _walk(self.root))

    def write(self, writer: LayerWriter) -> None:
        """Write the folder in a fixed order. Raises UnsafeContent for a device, a socket or a link that leads out."""
        writer.folder(self.prefix)
        for path in _walk(self.root):
            relative = path.relative_to(self.root)
            place = f"{self.prefix}/{relative.as_posix()}"
            if path.is_symlink():
                target = str(path.readlink())
                _check_link(path, target, f"/{self.prefix}", relative)
                writer.link(place, target)
            elif path.is_dir():
                writer.folder(place)
            else:
                size = path.stat().st_size
                writer.stream(place, chunks(path), size, is_executable=_is_executable(path))


def files_below(root: Path, left_out: Collection[str], above: str = "") -> Iterator[tuple[str, Path]]:
    """The files below `root` with their paths from there; names in `left_out` are passed over, files and folders."""
    for entry in os.scandir(root):
        if entry.name in left_out:
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from files_below(Path(entry.path), left_out, f"{above}{entry.name}/")
        elif entry.is_file():
            yield f"{above}{entry.name}", Path(entry.path)


def _walk(root: Path) -> Iterator[Path]:
    for entry in sorted(os.scandir(root), key=lambda one: one.name):
        path = Path(entry.path)
        yield path
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(path)


def _check_link(path: Path, target: str, prefix: str, relative: Path) -> None:
    inside = os.path.normpath(os.path.join(prefix, relative.parent, target))  # noqa: PTH118 - no such path here
    if not inside.startswith(f"{prefix}/") and inside != prefix:
        raise UnsafeContent(f"{path} links to `{target}`, outside of its folder", hint="remove the link")


def _is_executable(path: Path) -> bool:
    return bool(path.stat().st_mode & 0o100)
