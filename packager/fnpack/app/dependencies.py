"""Locks requirements for the image's platform and Python, with hashes, by running uv. It installs nothing."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from fnpack.app.package_index import PackageIndex
from fnpack_triggers.errors import FnpackError

UV_PLATFORMS = {  # (platform, libc) of the image -> the name that uv has for it
    ("linux/amd64", "glibc"): "x86_64-manylinux_2_28",
    ("linux/arm64", "glibc"): "aarch64-manylinux_2_28",
    ("linux/amd64", "musl"): "x86_64-unknown-linux-musl",
    ("linux/arm64", "musl"): "aarch64-unknown-linux-musl",
}
Libc = Literal["glibc", "musl"]
_TIMEOUT_S = 600
_NO_SOLUTION = "No solution found when resolving"
# Words of uv when a server did not answer, or refused: the request itself failed, whatever was asked for.
_UNREACHABLE = re.compile(
    r"Request failed after|Failed to fetch|error sending request|Could not connect|timed out|dns error|"
    r"invalid peer certificate|status code (401|403|407|429|5\d\d)|not be queried due to",
    re.IGNORECASE,
)
_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_CREDENTIALS = re.compile(r"(?<=://)[^/\s`'\"]+@")
_PINNED = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]*(\[[^\]]*\])?\s*==\s*[^*,;\s]+\s*$")


class DependencyError(FnpackError):
    """Requirements cannot be locked; the text names where they came from."""

    code = "FN332"


class UnsatisfiableRequirements(DependencyError):  # noqa: N818 - says what they are
    """No set of versions fits the requirements; the text is the resolver's own reason."""

    code = "FN330"


class PackageIndexUnreachable(DependencyError):  # noqa: N818 - says what it is
    """The package index did not answer, or refused."""

    code = "FN331"


class ResolverMissing(DependencyError):  # noqa: N818 - says what it is
    """uv is not installed."""

    code = "FN333"
    exit_code = 4


def lock(
    requirements: Sequence[str],
    *,
    python_version: str,
    platform: str,
    cwd: Path,
    source: str,
    libc: Libc = "glibc",
    index: PackageIndex | None = None,
) -> str:
    """Return a requirements.txt of exact pins with hashes, complete, for `python_version` on `platform`.

    `requirements` are PEP 508 lines, `python_version` is "3.11" style, `platform` is linux/amd64 or linux/arm64,
    `source` names where the lines came from in messages. Credentials and index addresses never reach the result.
    A list of plain exact pins is locked once and then read from the user's cache folder.
    """
    check_requirements(requirements, source)
    uv_platform = UV_PLATFORMS.get((platform, libc))
    if uv_platform is None:
        raise DependencyError(
            f"dependencies cannot be locked for the platform `{platform}`",
            hint="use linux/amd64 or linux/arm64",
        )
    if not requirements:
        return ""
    index = PackageIndex.discover() if index is None else index
    cached = _cache_file(requirements, python_version, uv_platform, index)
    if cached and cached.is_file():
        return cached.read_text("utf-8")
    done = _compile(requirements, python_version, uv_platform, cwd, index)
    if done.returncode != 0:
        raise _failure(done.stderr, source, python_version, platform)
    text = done.stdout
    if cached:
        _store(cached, text)
    return text


def check_requirements(requirements: Sequence[str], source: str) -> None:
    """Refuse lines that cannot become a pin with a hash: all of them at once."""
    from packaging.requirements import InvalidRequirement, Requirement

    problems = []
    for line in requirements:
        try:
            url = Requirement(line).url
        except InvalidRequirement as error:
            problems.append(f"`{_clean(line)}`: {_clean(str(error)).splitlines()[0]}")
            continue
        if not url:
            continue
        if not url.startswith(("https://", "http://")):
            problems.append(
                f"`{_clean(line)}`: only wheels and archives at an http(s) address have a hash to pin"
            )
        elif _CREDENTIALS.search(url):
            problems.append(
                f"`{_clean(line)}`: holds a user name or password, which would end up in the image"
            )
    if problems:
        raise DependencyError(
            f"{source}: " + "; ".join(problems),
            hint="write `name==1.2`, or `name @ https://host/file.whl` with the credentials in netrc or pip.conf; "
            "for a local or git package, put its wheel in a folder named by PIP_FIND_LINKS",
        )


def _compile(
    requirements: Sequence[str], python_version: str, platform: str, cwd: Path, index: PackageIndex
) -> subprocess.CompletedProcess[str]:
    command = [
        _uv(), "pip", "compile", "-", "--quiet", "--color=never", "--no-progress",
        "--python", sys.executable, "--python-version", python_version, "--python-platform", platform,
        "--generate-hashes", "--no-header", "--no-annotate", "--no-emit-index-url", "--no-emit-find-links",
    ]  # fmt: skip
    environment = {**os.environ, **index.uv_environment(), "UV_PYTHON_DOWNLOADS": "never", "COLUMNS": "1000"}
    lines = "".join(f"{line}\n" for line in requirements)
    try:
        return subprocess.run(
            command,
            input=lines,
            capture_output=True,
            encoding="utf-8",
            cwd=cwd,
            env=environment,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise PackageIndexUnreachable(
            f"the resolver gave no answer in {_TIMEOUT_S} s", hint="check the network and the proxy settings"
        ) from None
    except OSError as error:
        raise ResolverMissing(f"uv cannot be started: {error.strerror}", hint=_UV_HINT) from error


def _failure(stderr: str, source: str, python_version: str, platform: str) -> DependencyError:
    reason = _clean(stderr)
    if _NO_SOLUTION in reason and not _UNREACHABLE.search(reason):
        return UnsatisfiableRequirements(
            f"{source}: no versions fit all requirements for Python {python_version} on {platform}\n{reason}",
            hint="loosen one of the requirements named above, or choose another --python-version",
        )
    if _UNREACHABLE.search(reason):
        return PackageIndexUnreachable(
            f"{source}: the package index did not answer as it should\n{reason}",
            hint="check the network, and the index, proxy and certificate settings of pip or uv "
            "(PIP_INDEX_URL, PIP_CERT, HTTPS_PROXY, pip.conf)",
        )
    return DependencyError(
        f"{source}: the requirements cannot be locked\n{reason}", hint="see the resolver's reason"
    )


_UV_HINT = "install fnpack with its build tools: pip install 'fnpack[build]'"


def _uv() -> str:
    try:
        import uv

        return os.fsdecode(uv.find_uv_bin())
    except (ImportError, FileNotFoundError):
        raise ResolverMissing("uv, which resolves dependencies, is not installed", hint=_UV_HINT) from None


def _clean(text: str) -> str:
    """Another program's words without colours and without credentials in URLs."""
    return _CREDENTIALS.sub("***@", _ANSI.sub("", text)).replace("\r", "").strip()


def _cache_file(
    requirements: Sequence[str], python_version: str, platform: str, index: PackageIndex
) -> Path | None:
    """Where the lock of these pins is kept; None where the result may change from day to day.

    Exact pins can still pull in unpinned ones, so a lock is kept only per complete input; it stays valid since
    every version in it stays installable. The index settings count by their hash alone.
    """
    if not all(_PINNED.match(line) for line in requirements):
        return None
    parts = ["1", python_version, platform, *requirements, repr(sorted(_index_key(index).items()))]
    key = hashlib.sha256("\0".join(parts).encode()).hexdigest()
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "fnpack" / "locks" / f"{key}.txt"


def _index_key(index: PackageIndex) -> Mapping[str, str]:
    uv = (
        {name: value for name, value in os.environ.items() if name.startswith("UV_")} if index.from_uv else {}
    )
    return {**uv, **index.uv_environment()}


def _store(path: Path, text: str) -> None:
    """Keep `text`; a cache that cannot be written is no reason to fail."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, delete=False) as file:
            file.write(text)
        Path(file.name).replace(path)
    except OSError:
        return
