"""Finds scripts and notebooks, migrates them in memory, and writes each whole or not at all."""

from __future__ import annotations

import ast
import difflib
import io
import os
import tokenize
import uuid
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fnpack.migration.notebook import migrate_notebook
from fnpack.migration.source import Finding, Piece, is_entry_script, migrate, uses_sdk
from fnpack_triggers.errors import FnpackError

_SKIPPED = {
    ".git",
    ".hg",
    ".svn",
    "__pycache__",
    ".ipynb_checkpoints",
    "node_modules",
    "site-packages",
    ".tox",
}


class MigrationError(FnpackError):
    """A file could not be written; those before it are done, and it is as it was."""

    code = "FN525"


@dataclass(frozen=True, slots=True)
class Migrated:
    """What became of a file. `old` and `new` are its bytes; `problem` says why it could not be read."""

    path: Path
    old: bytes
    new: bytes
    findings: tuple[Finding, ...] = ()
    is_entry_script: bool = False
    problem: str | None = None

    @property
    def changed(self) -> bool:
        """Whether there is something to write."""
        return self.old != self.new

    def diff(self) -> str:
        """The change as a unified diff."""
        old, new = (data.decode(errors="replace").splitlines(keepends=True) for data in (self.old, self.new))
        name = self.path.as_posix()
        return "".join(difflib.unified_diff(old, new, f"a/{name}", f"b/{name}"))


def migrate_path(path: Path) -> Iterator[Migrated]:
    """Migrate a file, or all scripts and notebooks below a folder, in memory. Those without SDK v1 are left out."""
    for file in [path] if path.is_file() else _files(path):
        try:
            data = file.read_bytes()
        except OSError as error:
            yield Migrated(file, b"", b"", problem=f"cannot be read: {error.strerror or error}")
            continue
        if b"azureml" in data:
            yield _migrate(file, data)


def write(migrated: Migrated, *, backup: bool) -> None:
    """Write a changed file, whole or not at all; with `backup` the old one stays as `NAME.orig`.

    Raises MigrationError.
    """
    path = migrated.path
    draft = path.with_name(f".{path.name[:100]}.{uuid.uuid4().hex[:8]}")
    try:
        draft.write_bytes(migrated.new)
        draft.chmod(path.stat().st_mode & 0o7777)
        if backup:
            path.with_name(f"{path.name}.orig").write_bytes(migrated.old)
        os.replace(draft, path.resolve())  # noqa: PTH105 - through a link, to where the file is
    except OSError as error:
        raise MigrationError(
            f"{path} cannot be written: {error.strerror or error}",
            hint="it is as it was; run the command again",
        ) from error
    finally:
        draft.unlink(missing_ok=True)


def is_in_git(path: Path) -> bool:
    """Whether version control keeps the old files."""
    return any((parent / ".git").exists() for parent in (path.absolute(), *path.absolute().parents))


def _files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.is_dir() and not path.is_symlink():
            if path.name not in _SKIPPED and not (path / "pyvenv.cfg").is_file():
                yield from _files(path)
        elif path.suffix in (".py", ".ipynb") and path.is_file():
            yield path


def _migrate(path: Path, data: bytes) -> Migrated:
    try:
        return _migrate_notebook(path, data) if path.suffix == ".ipynb" else _migrate_script(path, data)
    except (ValueError, RecursionError) as error:  # SyntaxError and UnicodeError are among them or below
        return Migrated(path, data, data, problem=f"cannot be read: {error}")
    except SyntaxError as error:
        where = f" in line {error.lineno}" if error.lineno else ""
        return Migrated(path, data, data, problem=f"is not valid Python{where}: {error.msg}")


def _migrate_script(path: Path, data: bytes) -> Migrated:
    encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
    text = data.decode(encoding)
    if not uses_sdk(text):
        return Migrated(path, data, data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a script's own escapes and the like
        tree = ast.parse(text)
    if is_entry_script(tree):
        return Migrated(path, data, data, is_entry_script=True)
    piece = Piece(text, tree)
    migrate([piece])
    findings = tuple(sorted(piece.moved_findings(), key=lambda finding: finding.line))
    return Migrated(path, data, piece.result().encode(encoding), findings)


def _migrate_notebook(path: Path, data: bytes) -> Migrated:
    text = data.decode("utf-8")
    new, findings = migrate_notebook(text)
    return Migrated(path, data, new.encode(), tuple(findings))
