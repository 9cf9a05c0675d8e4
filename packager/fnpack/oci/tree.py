"""Lists a folder of this machine as the entries of a layer, and refuses what no image should hold."""

from __future__ import annotations

import os
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from fnpack.oci.cache import LayerCache, LayerRecord
from fnpack.oci.errors import FileRefused
from fnpack.oci.files import FileEntry, plain_tar
from fnpack.oci.recipe import BlobRecipe, key_of

_SCHEMA = "tree 1"


def tree_entries(
    folder: Path, target: str, *, keeps_links: bool = False, leave_out: Container[str] = frozenset()
) -> tuple[FileEntry, ...]:
    """Every file below `folder` as an entry below `target`, a path in the image.

    Links are followed inside the folder, and what Python cached there is left out. With `keeps_links` they stay links,
    which may also name places below `target`, and caches and empty folders are kept too.
    `leave_out` are names, relative to the folder, of files and folders. Raises FileRefused for what no image can hold:
    devices, sockets, pipes, and links out of the folder.
    """
    root, inside = folder.resolve(), target.strip("/")
    found: list[FileEntry] = []
    _walk(folder, "", _Tree(root, inside, keeps_links, leave_out, found), (root,))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class TreeRecipe(BlobRecipe):
    """A layer of a whole folder with its links, such as a conda environment; `digest` stands for its content."""

    title: str
    folder: Path
    target: str  # in the image
    digest: str

    def key(self, cache: LayerCache) -> str:
        """Made of the digest and the place: the folder is not looked into."""
        return key_of(_SCHEMA, self.digest, self.target)

    def write(self, file: BinaryIO, cache: LayerCache) -> LayerRecord:
        """Write the layer, as a plain tar. Raises FileRefused, FileChanged."""
        return plain_tar(tree_entries(self.folder, self.target, keeps_links=True), file)


@dataclass(frozen=True, slots=True)
class _Tree:
    root: Path
    target: str
    keeps_links: bool
    leave_out: Container[str]
    found: list[FileEntry]


def _walk(folder: Path, prefix: str, tree: _Tree, above: tuple[Path, ...]) -> None:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as exc:
        raise FileRefused(f"{folder} cannot be read: {exc.strerror}", hint="check its permissions") from exc
    if not entries and prefix and tree.keeps_links:
        tree.found.append(FileEntry(f"{tree.target}/{prefix}".rstrip("/"), is_folder=True))
    for entry in entries:
        name = f"{prefix}{entry.name}"
        if name in tree.leave_out or (entry.name == "__pycache__" and not tree.keeps_links):
            continue
        path, here = Path(entry.path), f"{tree.target}/{name}"
        if entry.is_symlink():
            if tree.keeps_links:
                tree.found.append(FileEntry(here, link=_kept_link(path, tree)))
                continue
            _check_link(path, tree.root)
        if entry.is_dir():
            real = path.resolve()
            if real in above:
                raise FileRefused(f"{path}: the link leads back to a folder above it", hint="remove the link")
            _walk(path, f"{name}/", tree, (*above, real))
        elif entry.is_file():
            executable = bool(entry.stat().st_mode & 0o100)
            tree.found.append(FileEntry(here, path, is_executable=executable))
        else:
            raise FileRefused(
                f"{path} is neither a file nor a folder (a device, a socket or a pipe)", hint="remove it"
            )


def _check_link(path: Path, root: Path) -> None:
    target = path.resolve()
    if not target.exists():
        raise FileRefused(f"{path}: the link leads nowhere", hint="remove the link")
    if not target.is_relative_to(root):
        raise FileRefused(
            f"{path}: the link leads out of {root}", hint="put what it points at into the folder itself"
        )


def _kept_link(path: Path, tree: _Tree) -> str:
    """The link's text, if it stays below the folder in the image."""
    text = os.readlink(path)  # noqa: PTH115 - the text, not a path
    at = f"/{tree.target}/{path.relative_to(tree.root).parent.as_posix()}"
    lands = os.path.normpath(f"{at}/{text}" if not text.startswith("/") else text)
    if not f"{lands}/".startswith(f"/{tree.target}/"):
        raise FileRefused(f"{path}: the link leads out of /{tree.target}", hint="remove the link")
    return text
