"""Reads pip's requirement lines, from requirements files, pyproject.toml and configuration. It resolves nothing.

What would carry a secret or the address of an index into the image is refused with the reason; hashes are dropped,
because fnpack locks anew for the image's platform. Local paths become absolute.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from fnpack.config import redact
from fnpack.config.files import label, read_text
from fnpack.config.problems import Problems
from fnpack.config.suggest import did_you_mean, names_near
from fnpack.errors import ConfigurationError

_INDEX = (
    "set it in pip's or uv's own configuration (PIP_INDEX_URL, UV_INDEX_URL, pip.conf), "
    "so that it stays out of images"
)
_NOT_EDITABLE = (
    "write `./folder` without `-e`, and a wheel is built of it; or put it into the source directory"
)
_REMOVE = "remove the line: fnpack resolves for the image's platform itself"
_OPTIONS: dict[str, tuple[str, str]] = {
    **dict.fromkeys(
        ("--index-url", "--extra-index-url", "--no-index", "--find-links", "--trusted-host", "--pypi-url"),
        ("the address of an index is not read from here", _INDEX),
    ),
    "--editable": (
        "an editable install points into this machine, and the image does not have it",
        _NOT_EDITABLE,
    ),
    "--pre": ("pre-releases are not switched on for all", "name one where it is wanted: `package>=2.0rc1`"),
    **dict.fromkeys(
        ("--no-binary", "--only-binary", "--prefer-binary", "--use-feature", "--use-pep517", "--no-deps"),
        ("this is an option of the installer", _REMOVE),
    ),
}
_SHORT = {
    "-r": "--requirement",
    "-c": "--constraint",
    "-e": "--editable",
    "-i": "--index-url",
    "-f": "--find-links",
}
# A name and plain bounds, which most lines are: the grammar's parser takes long to import and is left alone for these.
_PLAIN = re.compile(
    r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?"
    r"(?: ?(?:==|!=|<=|>=|<|>) ?[0-9]+(?:\.[0-9]+)*(?:, ?(?:==|!=|<=|>=|<|>) ?[0-9]+(?:\.[0-9]+)*)*)?"
)
_SERVER = "azureml-defaults"
_SERVER_NOTE = (
    "azureml-defaults is left out: fnpack's host does what it did; "
    "add the packages your script itself imports"
)


class RequirementLines(NamedTuple):
    """What a file asks for: PEP 508 lines, or absolute paths of local packages, in order."""

    requirements: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def read_requirements(path: Path) -> RequirementLines:
    """The requirements of a file and of those it includes (`-r`, `-c`), or of a pyproject.toml.

    Raises ConfigurationError with every bad line as `file:line`.
    """
    problems = Problems()
    if path.name == "pyproject.toml":
        from fnpack.config.pyproject import read_pyproject

        lines = read_pyproject(path, problems)
        problems.check()
        return lines
    constraints: list[str] = []
    found = _file(path, problems, (), constraints)
    problems.check()
    return RequirementLines(tuple(found), tuple(constraints))


def read_lines(
    lines: Iterable[tuple[str, str]],
    folder: Path,
    problems: Problems,
    seen: Sequence[Path] = (),
    constraints: list[str] | None = None,
) -> list[str]:
    """The requirements in `(where, line)` pairs; files and paths are relative to `folder`. Notes each bad line.

    The lines of `-c` files go into `constraints`.
    """
    found: list[str] = []
    for where, line in lines:
        text = re.sub(r"(^|\s)#.*$", "", line).strip()
        option, value = _option(text)
        if not text or option == "--require-hashes":
            continue
        if option in {"--requirement", "--constraint"}:
            limits: list[str] = [] if constraints is None else constraints
            included = _included(where, value, folder, problems, seen, limits)
            (found if option == "--requirement" else limits).extend(included)
        elif option:
            _refuse_option(where, option, problems)
        else:
            requirement = _requirement(where, text, folder, problems)
            found += [requirement] if requirement else []
    return found


def without_server(requirements: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Requirements less `azureml-defaults`, and notes that say so."""
    given = tuple(requirements)
    kept = tuple(line for line in given if distribution(line) != _SERVER)
    return kept, (_SERVER_NOTE,) if len(kept) < len(given) else ()


def distribution(requirement: str) -> str:
    """The normalised name of the package that a requirement line asks for."""
    name = re.match(r"[A-Za-z0-9][A-Za-z0-9._-]*", requirement)
    return re.sub(r"[-_.]+", "-", name[0]).lower() if name else ""


def _file(path: Path, problems: Problems, seen: Sequence[Path], constraints: list[str]) -> list[str]:
    try:
        text = read_text(path)
    except ConfigurationError as exc:
        problems.extend(exc)
        return []
    lines = _logical_lines(text, label(path))
    return read_lines(lines, path.parent, problems, (*seen, path.resolve()), constraints)


def _logical_lines(text: str, name: str) -> Iterator[tuple[str, str]]:
    """Lines with continuations joined, each with the number of its first line. A comment line is never continued."""
    held, start = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        start = start or number
        if line.endswith("\\") and not line.lstrip().startswith("#"):
            held += line[:-1] + " "
            continue
        yield f"{name}:{start}", held + line
        held, start = "", 0
    if held:
        yield f"{name}:{start}", held


def _option(text: str) -> tuple[str, str]:
    """The option that a line begins with, in its long form, and what follows."""
    if not text.startswith("-"):
        return "", ""
    if text.startswith("--"):
        name, _, value = re.sub(r"[=\s]+", " ", text, count=1).partition(" ")
        return name, value.strip()
    return _SHORT.get(text[:2], text[:2]), text[2:].lstrip("= \t")


def _included(  # noqa: PLR0917 - one place of `read_lines`
    where: str, name: str, folder: Path, problems: Problems, seen: Sequence[Path], constraints: list[str]
) -> list[str]:
    if not name or "://" in name:
        what = "a file from an address is not read" if name else "the name of a file is missing"
        problems.add(where, what, "write `-r other-requirements.txt`, with a file beside this one")
        return []
    path = folder / name.strip("\"'")
    if path.resolve() in seen:  # a circle adds nothing new
        return []
    return _file(path, problems, seen, constraints)


def _refuse_option(where: str, option: str, problems: Problems) -> None:
    if option in _OPTIONS:
        what, suggestion = _OPTIONS[option]
        problems.add(where, f"`{option}`: {what}", suggestion)
    else:
        problems.add(
            where,
            f"unknown option `{option}`",
            did_you_mean(option, [*_OPTIONS, "--requirement", "--constraint"]),
        )


def _requirement(where: str, text: str, folder: Path, problems: Problems) -> str | None:
    """The PEP 508 line without its hashes, a local path made absolute; None with the reason noted."""
    line = re.sub(r"\s--hash[=\s]\S+", "", text).strip()
    own = re.search(r"\s(--[a-z-]+)", line)
    shown = redact.addresses(line)
    reason = suggestion = ""
    if own:
        reason, suggestion = f"the option `{own[1]}` of one requirement is not read", "remove it"
    elif redact.holds_login(line):
        reason = f"`{shown}` carries a login, which would stay in the image"
        suggestion = "take it out; logins belong in netrc or in pip's or uv's own configuration"
    elif "${" in line:
        reason, suggestion = f"`{shown}`: variables are not replaced here", "write the value"
    elif _is_local(line):
        return _local(where, line, folder, problems)
    elif re.match(r"(git|hg|svn|bzr)\+|https?://", line):
        reason, suggestion = f"`{shown}` lacks the package's name", "write `name @ address`"
    elif not _PLAIN.fullmatch(line) and (detail := _fault(line)):
        reason, suggestion = f"`{shown}` is not a requirement: {detail}", _mended(line)
    if reason:
        problems.add(where, reason, suggestion or None)
        return None
    return line


def _fault(line: str) -> str:
    """What the grammar of PEP 508 finds wrong with a line, or nothing."""
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        Requirement(line)
    except InvalidRequirement as exc:
        return redact.addresses(str(exc).splitlines()[0])
    return ""


def _local(where: str, line: str, folder: Path, problems: Problems) -> str | None:
    """The line with an absolute path, `/a/mine[extra]` or `mine @ file:///a/mine`."""
    name, at, address = line.rpartition(" @ ")
    address, _, marker = (part.strip() for part in address.partition(" ;"))
    bare = re.sub(r"\[[^\[\]]*\]$", "", address)
    extras = address[len(bare) :]
    if bare.startswith("file:"):
        bare = unquote(urlsplit(bare).path if "://" in bare else bare.removeprefix("file:"))
    path = Path(os.path.normpath(folder.absolute() / os.path.expanduser(bare)))  # noqa: PTH111 - raises nothing
    try:
        is_there = path.exists()
    except (OSError, ValueError):  # too long, or with characters that no name has
        is_there = False
    if not is_there:
        what = f"`{redact.addresses(line)}`: there is no file or folder {redact.addresses(label(path))}"
        problems.add(where, what, names_near(path))
        return None
    if path.is_dir() and not any((path / name).is_file() for name in ("pyproject.toml", "setup.py")):
        problems.add(where, f"{label(path)} is no Python package", "it needs a pyproject.toml or a setup.py")
        return None
    return (f"{name} @ {path.as_uri()}" if at else f"{path}{extras}") + (f" ; {marker}" if marker else "")


def _is_local(line: str) -> bool:
    address = line.partition(" @ ")[2].strip() or line
    if address.startswith((".", "/", "~", "file:", "\\")) or re.match(r"[A-Za-z]:[\\/]", address):
        return True
    path = address.partition(";")[0].strip()
    return "://" not in address and ("/" in path or bool(re.search(r"\.(whl|tar\.gz|zip)$", path)))


def _mended(line: str) -> str:
    """A likely correction: conda's and other tools' spellings of a version."""
    from packaging.requirements import InvalidRequirement, Requirement

    single = re.fullmatch(r"([A-Za-z0-9._\[\],-]+?)\s*=\s*([0-9][\w.*]*)(?:=\S+)?", line)
    if single:
        return f"write `{single[1]}=={single[2]}`"
    spaced = re.fullmatch(r"([A-Za-z0-9._-]+)\s+([0-9][\w.]*)", line)
    if spaced:
        return f"write `{spaced[1]}=={spaced[2]}`"
    caret = re.fullmatch(r"([A-Za-z0-9._-]+)\s*=*\s*[\^~]\s*([0-9][\w.]*)", line)
    if caret:
        return f"write `{caret[1]}~={caret[2]}`"
    several = [part for part in re.split(r"[\s,]+", line) if part]
    try:
        names = [Requirement(part).name for part in several]
    except InvalidRequirement:
        return "write `package`, `package==1.2` or `package @ address`"
    return "write one requirement to a line" if len(names) > 1 else ""
