"""Runs uv: it resolves requirements for an image's platform and Python, and says why where it cannot."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

from fnpack.dependencies.credentials import with_keyring
from fnpack.dependencies.errors import (
    DependencyError,
    PackageIndexUnreachable,
    ResolverMissing,
    UnsatisfiableRequirements,
)
from fnpack.dependencies.index import PackageIndex
from fnpack.dependencies.local import local_path
from fnpack.dependencies.target import Target
from fnpack.full_disk import disk_full, says_full

_TIMEOUT_S = 600
_NO_SOLUTION = "No solution found when resolving"
# Words of uv when a server did not answer, or refused: the request itself failed, whatever was asked for.
_UNREACHABLE = re.compile(
    r"Request failed after|Failed to fetch|error sending request|Could not connect|timed out|dns error|"
    r"invalid peer certificate|status code (401|403|407|429|5\d\d)|not be queried due to",
    re.IGNORECASE,
)
_UNAUTHORISED = re.compile(r"\b(401|403)\b|lack of valid authentication")
_NOT_FOUND = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*) was not found in the package registry")
_NO_CACHE = "Failed to initialize cache"
_PATH = re.compile(r"`(/[^`]+)`")
_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_CREDENTIALS = re.compile(r"(?<=://)[^/\s`'\"]+@")
_FINDING_UV = threading.Lock()  # sysconfig, which it asks, gives half of its answer to a second thread
_UV_HINT = "install fnpack with its build tools: pip install 'fnpack[build]'"


@dataclass(frozen=True, slots=True)
class _Request:
    """What uv is asked."""

    requirements: tuple[str, ...]
    constraints: tuple[str, ...]
    target: Target
    folder: Path
    known: str
    stubs: Path | None


Answers = dict[_Request, "str | DependencyError"]  # what uv said in one build: the same is not asked twice


def resolve(
    requirements: Sequence[str],
    target: Target,
    *,
    folder: Path,
    source: str,
    index: PackageIndex,
    constraints: Sequence[str] = (),
    known: str = "",
    stubs: Path | None = None,
    answers: Answers | None = None,
) -> str:
    """A `pylock.toml` of uv's for `target`; relative paths in it start at `folder`.

    `requirements` are PEP 508 lines and absolute paths, `source` names where they came from in messages. Versions of
    the lock `known` are kept where they still fit. `stubs` is a folder of wheels that stand for what conda installs.
    `answers` holds what uv said before, and what it says now.
    """
    check_requirements(requirements, source)
    request = _Request(tuple(requirements), tuple(constraints), target, folder, known, stubs)
    answers = {} if answers is None else answers
    if request not in answers:
        try:
            answers[request] = _resolved(request, source, index)
        except DependencyError as error:
            answers[request] = error
    found = answers[request]
    if isinstance(found, DependencyError):
        raise found
    return found


def _resolved(request: _Request, source: str, index: PackageIndex) -> str:
    done = _compile(request, index)
    if done.returncode != 0 and (found := _with_login(index, done.stderr)) is not None:
        done = _compile(request, found)
    if done.returncode != 0 and says_full(done.stderr):
        named = _PATH.search(done.stderr)
        raise disk_full(Path(named[1]) if named else None)
    if done.returncode != 0:
        raise _failure(done.stderr, source, request.target)
    return done.stdout


def check_requirements(requirements: Sequence[str], source: str) -> None:
    """Refuse lines that can be neither pinned nor built: all of them at once."""
    from packaging.requirements import InvalidRequirement, Requirement

    problems = []
    for line in requirements:
        if _CREDENTIALS.search(line) and "://git@" not in line:
            problems.append(
                f"`{clean(line)}`: holds a user name or password, which would end up in the lock and the image"
            )
            continue
        path = local_path(line)
        if path is not None:
            if not path.exists():
                problems.append(f"`{clean(line)}`: there is no such file or folder")
            continue
        try:
            url = Requirement(line).url
        except InvalidRequirement as error:
            problems.append(f"`{clean(line)}`: {clean(str(error)).splitlines()[0]}")
            continue
        if url and not url.startswith(("https://", "http://", "git+")):
            problems.append(f"`{clean(line)}`: only http(s), git and file addresses can be fetched")
    if problems:
        raise DependencyError(
            f"{source}: " + "; ".join(problems),
            hint="write `name==1.2`, `name @ https://host/file.whl` with the login in netrc, "
            "`name @ git+https://host/repository@commit` or `./folder`",
        )


def run_uv(
    command: Sequence[str], folder: Path, environment: Mapping[str, str], text: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run uv with its output captured; without a cache of its own where it cannot have one.

    Raises ResolverMissing and PackageIndexUnreachable (no end in sight).
    """
    done = _run_uv(command, folder, environment, text)
    if done.returncode and _NO_CACHE in done.stderr:
        return _run_uv([*command, "--no-cache"], folder, environment, text)
    return done


def _run_uv(
    command: Sequence[str], folder: Path, environment: Mapping[str, str], text: str
) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            [_uv(), *command, "--color=never", "--no-progress"],
            input=text,
            capture_output=True,
            encoding="utf-8",
            cwd=folder,
            env={**environment, "UV_PYTHON_DOWNLOADS": "never", "COLUMNS": "1000"},
            timeout=_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise PackageIndexUnreachable(
            f"the resolver gave no answer in {_TIMEOUT_S} s", hint="check the network and the proxy settings"
        ) from None
    except OSError as error:
        raise ResolverMissing(f"uv cannot be started: {error.strerror}", hint=_UV_HINT) from error


def environment_for(index: PackageIndex) -> dict[str, str]:
    """The environment that uv runs in: this one, and what the user's index settings say."""
    values = {**os.environ, **index.uv_environment()}
    if shutil.which("keyring"):
        values.setdefault(
            "UV_KEYRING_PROVIDER", "subprocess"
        )  # asked by uv only where a server wants a login
    return values


def clean(text: str) -> str:
    """Another program's words without colours and without credentials in URLs."""
    return _CREDENTIALS.sub("***@", _ANSI.sub("", text)).replace("\r", "").strip()


def is_unauthorised(reason: str) -> bool:
    """Whether uv's words say that a server wants a login, or another one."""
    return bool(_UNAUTHORISED.search(reason))


def is_unreachable(reason: str) -> bool:
    """Whether uv's words say that a server did not answer or refused."""
    return bool(_UNREACHABLE.search(reason))


def _compile(request: _Request, index: PackageIndex) -> subprocess.CompletedProcess[str]:
    environment = environment_for(index)
    with tempfile.TemporaryDirectory(prefix="fnpack-lock-") as scratch:
        output = Path(scratch, "pylock.toml")
        if request.known:
            output.write_text(request.known, "utf-8")
        limits = Path(scratch, "constraints.txt")
        limits.write_text(_lines(request.constraints), "utf-8")
        command = [
            "pip", "compile", "-", "--quiet", "--format", "pylock.toml", "--output-file", str(output),
            "--no-header", "--no-annotate", "--constraints", str(limits),
            "--python", sys.executable, "--python-version", request.target.python_version,
            "--python-platform", request.target.uv_platform,
        ]  # fmt: skip
        if request.stubs is not None:
            links = [environment.get("UV_FIND_LINKS", ""), str(request.stubs)]
            environment["UV_FIND_LINKS"] = ",".join(link for link in links if link)
        done = run_uv(command, request.folder, environment, _lines(request.requirements))
        if done.returncode == 0:
            done.stdout = _moved(output.read_text("utf-8"), Path(scratch), request.folder)
        return done


def _with_login(index: PackageIndex, reason: str) -> PackageIndex | None:
    """The settings with the keyring's login, where uv failed for want of one; None where that is not the cause.

    Where all indexes count alike, uv takes a refusal for "there is no such package", so the indexes are asked again
    for the packages that were not found. Raises PackageIndexRefused.
    """
    names = dict.fromkeys(_NOT_FOUND.findall(reason))
    if not names and not is_unauthorised(reason):
        return None
    from fnpack.dependencies.transport import AnswerError, Transport

    transport = Transport(index)
    try:
        for url in (index.index_url, *index.extra_index_urls):
            for name in names if url else ():
                with suppress(AnswerError, OSError, HTTPException), transport.get(f"{url}/{name}/"):
                    pass
    finally:
        transport.close()
    return with_keyring(index) if transport.used_keyring or not names else None


def _lines(lines: Sequence[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _moved(text: str, written_in: Path, folder: Path) -> str:
    """uv writes paths relative to its output; here they are relative to `folder` again."""

    def mend(found: re.Match[str]) -> str:
        path = Path(os.path.normpath(written_in.resolve() / found["path"]))
        relative = Path(os.path.relpath(path, folder.resolve())).as_posix()
        return f'{found["before"]}"{relative}"'

    return re.sub(r'(?P<before>\{ path = )"(?P<path>[^"]*)"', mend, text)


def _failure(stderr: str, source: str, target: Target) -> DependencyError:
    reason = clean(stderr)
    if _NO_SOLUTION in reason and not is_unreachable(reason):
        return UnsatisfiableRequirements(
            f"{source}: no versions fit all requirements for Python {target.python_version} on {target.platform}\n"
            f"{reason}",
            hint="loosen one of the requirements named above, or choose another --python-version",
        )
    if is_unreachable(reason):
        return PackageIndexUnreachable(
            f"{source}: the package index did not answer as it should\n{reason}",
            hint="check the network, and the index, proxy and certificate settings of pip or uv "
            "(PIP_INDEX_URL, PIP_CERT, HTTPS_PROXY, pip.conf); logins come from the address, netrc or keyring",
        )
    return DependencyError(
        f"{source}: the requirements cannot be locked\n{reason}", hint="see the resolver's reason"
    )


def _uv() -> str:
    try:
        import uv

        with _FINDING_UV:
            return os.fsdecode(uv.find_uv_bin())
    except (ImportError, FileNotFoundError):
        raise ResolverMissing("uv, which resolves dependencies, is not installed", hint=_UV_HINT) from None
