"""Builds wheels from what comes as source: archives, folders, git commits. The same source gives the same bytes."""

from __future__ import annotations

import os
import platform as machine
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from fnpack.dependencies import cache
from fnpack.dependencies.built import content_key, recall, remember
from fnpack.dependencies.credentials import with_keyring
from fnpack.dependencies.errors import CompiledElsewhere, SourceBuildFailed
from fnpack.dependencies.index import PackageIndex
from fnpack.dependencies.local import UNREAD_FOLDERS
from fnpack.dependencies.resolver import clean, environment_for, is_unauthorised, run_uv
from fnpack.dependencies.selection import Selected
from fnpack.dependencies.target import Target
from fnpack.dependencies.wheels import WheelFile

_EPOCH = "315532800"  # 1980-01-01, the earliest that a zip file holds
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)
_SHOWN_LINES = 25
_LARGE_BYTES = 8 << 20
_GIT_TIMEOUT_S = 600
_COMMIT = re.compile(r"^[0-9a-f]{40,64}$")


def build_wheel(source: Selected, archive: Path | None, target: Target, index: PackageIndex) -> WheelFile:
    """The wheel of a selected source; `archive` is its file where it has one. Built once for each content and Python.

    uv builds in an environment of its own and in a copy, so that nothing is left in the user's folder.
    Raises SourceBuildFailed with the end of the build's output, CompiledElsewhere.
    """
    key = content_key(source, target.python_version, machine.machine())
    wheel = recall("built", key)
    if wheel is None:
        with cache.scratch() as scratch:
            folder = _lay_out(source, archive, scratch / "source")
            built = _build(folder, source, target, index, scratch / "dist")
            plain = scratch / built.name
            normalise(built, plain)
            wheel = _wheel(*cache.keep(plain, built.name))
        remember("built", key, wheel)
    _check_fits(wheel.filename, source, target)
    remember("fitting", content_key(source, repr(target)), wheel)
    return wheel


def normalise(wheel: Path, target: Path) -> None:
    """Write the wheel anew: sorted, with fixed times and modes, and stored, so that no compressor decides its bytes."""
    with zipfile.ZipFile(wheel) as source, zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as result:
        files = [info for info in source.infolist() if not info.is_dir()]
        for info in sorted(files, key=lambda info: (".dist-info/" in info.filename, info.filename)):
            entry = zipfile.ZipInfo(info.filename, _ZIP_TIME)
            entry.create_system = 3  # Unix, so that modes count
            is_executable = (info.external_attr >> 16) & 0o111
            entry.external_attr = (0o100755 if is_executable else 0o100644) << 16
            result.writestr(entry, source.read(info))


def _lay_out(source: Selected, archive: Path | None, folder: Path) -> Path:
    """A copy of the source that may be written to."""
    if source.kind == "folder":
        origin = Path(source.path or "")
        left_out = shutil.ignore_patterns(*UNREAD_FOLDERS - {".git"}, "*.egg-info", "*.pyc", "pylock.*toml")
        shutil.copytree(
            origin, folder, ignore=left_out, ignore_dangling_symlinks=True, copy_function=_copy_or_link
        )
    elif source.kind == "git":
        _check_out(source, folder)
    else:
        assert archive is not None
        folder = _unpack(archive, folder)
    return folder / source.subdirectory


def _copy_or_link(source: str, target: str) -> None:
    """A project folder may hold models beside its package: what is large is linked where that is possible."""
    if Path(source).stat().st_size > _LARGE_BYTES:
        with suppress(OSError):
            os.link(source, target)
            return
    shutil.copy2(source, target)


def _unpack(archive: Path, folder: Path) -> Path:
    """Unpack what stays inside `folder`; returns the one folder that a source archive holds."""
    if not hasattr(tarfile, "data_filter"):
        raise SourceBuildFailed(
            f"this Python cannot unpack {archive.name} safely", hint="take its newest patch release"
        )
    try:
        if archive.name.endswith(".zip"):
            with zipfile.ZipFile(archive) as zipped:
                zipped.extractall(folder)  # noqa: S202 - keeps names inside the folder
        else:
            with tarfile.open(archive) as tarred:
                tarred.extractall(folder, filter="data")
    except (tarfile.TarError, zipfile.BadZipFile, OSError, EOFError) as error:
        raise SourceBuildFailed(
            f"{archive.name} cannot be unpacked: {error}",
            hint="choose a version of the package that has a wheel",
        ) from error
    entries = list(folder.iterdir())
    return entries[0] if len(entries) == 1 and entries[0].is_dir() else folder


def _check_out(source: Selected, folder: Path) -> None:
    if not _COMMIT.fullmatch(source.commit):
        raise SourceBuildFailed(
            f"{source.name}: `{source.commit}` is no git commit", hint="remove the lock file"
        )
    url = source.url or ""
    folder.mkdir(parents=True)
    _git(source, folder, "init", "--quiet")
    if not _git(source, folder, "fetch", "--quiet", "--depth=1", "--", url, source.commit, may_fail=True):
        # Some servers give no commit by its hash.
        _git(source, folder, "fetch", "--quiet", "--tags", "--", url, "+refs/*:refs/remotes/all/*")
    _git(source, folder, "checkout", "--quiet", "--detach", source.commit)
    if (folder / ".gitmodules").is_file():
        _git(source, folder, "submodule", "--quiet", "update", "--init", "--recursive")


def _git(source: Selected, folder: Path, *arguments: str, may_fail: bool = False) -> bool:
    environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0"}
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_GIT_TIMEOUT_S,
            check=False,
        )
    except FileNotFoundError:
        raise SourceBuildFailed(
            f"{source.name} comes from a git repository, and git is not installed",
            hint="install git, or name a released version of the package",
        ) from None
    except subprocess.TimeoutExpired:
        raise SourceBuildFailed(
            f"{source.name}: git gave no answer in {_GIT_TIMEOUT_S} s", hint="check the network"
        ) from None
    if done.returncode and not may_fail:
        raise SourceBuildFailed(
            f"{source.name}: git {arguments[0]} failed\n{clean(done.stderr)}",
            hint="check the address and git's own login (credential helper, ssh key)",
        )
    return done.returncode == 0


def _build(folder: Path, source: Selected, target: Target, index: PackageIndex, output: Path) -> Path:
    python = _python(target.python_version)
    command = ["build", "--wheel", "--out-dir", str(output), "--python", python, str(folder)]
    done = run_uv(command, folder, _environment(index))
    if done.returncode and is_unauthorised(done.stderr) and (found := with_keyring(index)) is not None:
        done = run_uv(command, folder, _environment(found))
    wheels = sorted(output.glob("*.whl")) if output.is_dir() else []
    if done.returncode or len(wheels) != 1:
        where = source.filename or source.path or source.url or ""
        raise SourceBuildFailed(
            f"{source.name} has no wheel for the image, and building one from {clean(where)} failed\n"
            f"{_end(done.stderr.replace(str(folder), '.'))}",
            hint="choose a version that has a wheel, or build in the image's own system with --builder dockerfile",
        )
    return wheels[0]


def _environment(index: PackageIndex) -> dict[str, str]:
    return {**environment_for(index), "SOURCE_DATE_EPOCH": _EPOCH, "PYTHONHASHSEED": "0"}


def _python(version: str) -> str:
    """The image's Python if it is on this machine, else this one, which builds pure packages as well."""
    if version == f"{sys.version_info.major}.{sys.version_info.minor}":
        return sys.executable
    done = run_uv(["python", "find", version], Path.cwd(), os.environ)
    return done.stdout.strip() if done.returncode == 0 and done.stdout.strip() else sys.executable


def _check_fits(filename: str, source: Selected, target: Target) -> None:
    """Refuse a compiled wheel that the image may not be able to load. Raises CompiledElsewhere."""
    from packaging.utils import parse_wheel_filename

    tags = parse_wheel_filename(filename)[3]
    fault = "" if tags & set(target.tags()) else f"it became {filename}"
    fault = fault or _fault_of_compiler([tag.platform for tag in tags], target)
    if fault:
        libc = "musl" if target.libc == "musl" else "glibc " + ".".join(map(str, target.glibc))
        raise CompiledElsewhere(
            f"{source.name} is compiled, and what this machine makes of it does not run in the image "
            f"(Python {target.python_version} on {target.platform}, {libc}): {fault}",
            hint="choose a version that has a wheel for the image, or build in the image's own system with "
            "--builder dockerfile",
        )


def _fault_of_compiler(platforms: Sequence[str], target: Target) -> str:
    """What is wrong with this machine's compiler for the image, "" for nothing."""
    if not all(platform.startswith("linux_") for platform in platforms):
        return ""  # nothing was compiled, or the build made it portable itself
    name, version = machine.libc_ver()
    if name != target.libc:
        return f"this machine has the C library {name or 'of another kind'}"
    own = tuple(int(part) for part in version.split(".")[:2])
    if own > target.glibc:
        return f"this machine has glibc {version}, which is newer"
    return ""


def _wheel(path: Path, sha256: str) -> WheelFile:
    from packaging.utils import parse_wheel_filename

    name, version, _, _ = parse_wheel_filename(path.name)
    return WheelFile(str(name), str(version), path, sha256, path.name)


def _end(text: str) -> str:
    lines = clean(text).splitlines()
    left_out = ["..."] if len(lines) > _SHOWN_LINES else []
    return "\n".join([*left_out, *lines[-_SHOWN_LINES:]])
