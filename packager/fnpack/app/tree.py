"""Lists the files of a source or model folder: what to skip, which links to follow, what to refuse."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from fnpack_triggers.errors import FnpackError

IGNORE_FILES = (".fnpackignore", ".amlignore", ".funcignore")
# Never part of an app: version control, caches, environments, local secrets.
_SKIPPED_FOLDERS = frozenset(
    {
        ".git",
        ".hg",
        ".svn",
        "__pycache__",
        ".venv",
        ".mypy_cache",
        ".pytest_cache",
        ".ruff_cache",
        ".fnpack",
        ".tox",
    }
)
_SKIPPED_FILES = frozenset({"local.settings.json", ".env", ".DS_Store", *IGNORE_FILES})


class LinkError(FnpackError):
    """A symbolic link cannot be followed into the app."""

    code = "FN336"


class Entry(NamedTuple):
    """A file to copy: where it is, and its path relative to the folder that was listed."""

    source: Path
    relative: PurePosixPath


def source_files(root: Path, *, without: Sequence[Path] = ()) -> Iterator[Entry]:
    """The files of a source directory in a fixed order, less the ignored ones and those below `without`.

    Links are followed inside the directory only, so that nothing from elsewhere slips into an image.
    """
    ignored = ignore_rules(root)
    left_out = {path.resolve() for path in without}

    def skip(path: Path, relative: PurePosixPath, *, is_folder: bool) -> bool:
        if is_folder:
            known = (
                path.name in _SKIPPED_FOLDERS or (path / "pyvenv.cfg").is_file() or path.resolve() in left_out
            )
        else:
            known = path.name in _SKIPPED_FILES or path.suffix in {".pyc", ".pyo"}
        return known or ignored(relative.as_posix(), is_folder)

    yield from _walk(root, PurePosixPath(), within=root.resolve(), skip=skip, above=())


def model_files(root: Path) -> Iterator[Entry]:
    """Every file of a model folder in a fixed order. Links are followed wherever they lead: model caches use them."""
    yield from _walk(
        root, PurePosixPath(), within=None, skip=lambda path, relative, *, is_folder: False, above=()
    )


def _walk(
    folder: Path,
    relative: PurePosixPath,
    *,
    within: Path | None,
    skip: Callable[..., bool],
    above: tuple[Path, ...],
) -> Iterator[Entry]:
    here = folder.resolve()
    if here in above:
        raise LinkError(f"{folder}: the link leads back to a folder above it", hint="remove the link")
    for path in sorted(folder.iterdir(), key=lambda path: path.name):
        name = relative / path.name
        is_folder = path.is_dir()
        if skip(path, name, is_folder=is_folder):
            continue
        if path.is_symlink():
            _check_link(path, within)
        if is_folder:
            yield from _walk(path, name, within=within, skip=skip, above=(*above, here))
        elif path.is_file():
            yield Entry(path, name)
        else:
            raise LinkError(
                f"{path} is neither a file nor a folder", hint="remove it, or name it in .fnpackignore"
            )


def _check_link(path: Path, within: Path | None) -> None:
    target = path.resolve()
    if not target.exists():
        raise LinkError(
            f"{path}: the link leads nowhere", hint="remove the link, or name it in .fnpackignore"
        )
    if within is not None and not target.is_relative_to(within):
        raise LinkError(
            f"{path}: the link leads out of the source directory {within}",
            hint="copy what it points at into the source directory, or name the link in .fnpackignore",
        )


def ignore_rules(root: Path) -> Callable[[str, bool], bool]:
    """Read the first of IGNORE_FILES in `root` (gitignore's syntax): tells of (posix path, is folder) whether to skip.

    As in git, the last rule that matches counts, `!` takes back, and nothing below an ignored folder comes back.
    """
    for name in IGNORE_FILES:
        path = root / name
        if path.is_file():
            lines = path.read_text("utf-8", errors="replace").splitlines()
            rules = [rule for rule in map(_rule, lines) if rule is not None]
            return lambda path, is_folder: _ignored(rules, path, is_folder=is_folder)
    return lambda path, is_folder: False


_BACKWARD = re.compile(r"(\\.|[^\\])-(\\.|[^\\])", re.DOTALL)
_Rule = tuple[re.Pattern[str], bool, bool]  # pattern, takes back, folders only


def _ignored(rules: Sequence[_Rule], path: str, *, is_folder: bool) -> bool:
    for pattern, takes_back, folders_only in reversed(rules):
        if (is_folder or not folders_only) and pattern.fullmatch(path):
            return not takes_back
    return False


def _rule(line: str) -> _Rule | None:
    text = line if line.endswith("\\ ") else line.rstrip()
    if not text or text.startswith("#"):
        return None
    takes_back = text.startswith("!")
    text = text[1:] if takes_back else text
    folders_only = text.endswith("/")
    text = text.rstrip("/")
    if not text:
        return None
    anchored = "/" in text
    pattern = _regex(text.lstrip("/"))
    return re.compile(pattern if anchored else f"(?:.*/)?{pattern}", re.DOTALL), takes_back, folders_only


def _first_of_backward(match: re.Match[str]) -> str:
    """Of a range that runs backward, git matches the first character alone, where a regular expression is invalid."""
    first, last = (one[-1] for one in match.groups())
    return match[0] if first <= last else match[1]


def _regex(glob: str) -> str:
    """Translate a gitignore pattern, without its leading and trailing slash, to a regular expression."""
    item = r"(?:\\.|[^\]\\])"
    brackets = (
        rf"\[(?:[!^]|(?![!^]))(?:\]|{item}){item}*\]"  # a `]` that comes first is one of the characters
    )
    tokens = re.compile(rf"^\*\*/|/\*\*/|/\*\*$|\*+|\?|{brackets}|\\.|.", re.DOTALL)

    def translate(match: re.Match[str]) -> str:
        token = match.group()
        match token:
            case "**/":
                return "(?:.*/)?"
            case "/**/":
                return "/(?:.*/)?"
            case "/**":
                return "/.+"
            case "?":
                return "[^/]"
            case "[":  # brackets that do not close: git matches nothing
                return "(?!)"
        if token.startswith("*"):
            return "[^/]*"
        if token.startswith("[") and len(token) > 2:
            body = token[1:-1]
            negated = body[0] in "!^"
            body = _BACKWARD.sub(_first_of_backward, body[1:] if negated else body)
            inner = body.replace("[", r"\[").replace("&&", r"\&\&").replace("]", r"\]")
            return f"(?!/)[{'^' if negated else ''}{inner}]"
        return re.escape(token[1:] if token.startswith("\\") and len(token) > 1 else token)

    return tokens.sub(translate, glob)
