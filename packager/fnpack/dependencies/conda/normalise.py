"""Takes out of an installed prefix what only this machine or this moment knows: equal locks give equal bytes."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from collections.abc import Iterator, Mapping
from email.parser import HeaderParser
from pathlib import Path

from fnpack.dependencies.conda.errors import CondaInstallFailed
from fnpack.dependencies.conda.rattler import without_secrets

_COMPILE_TIMEOUT_S = 900
_KEPT = (  # of a record in conda-meta: what says what is installed, not how and when
    "arch", "build", "build_number", "channel", "constrains", "depends", "files", "fn", "license", "md5", "name",
    "noarch", "paths_data", "platform", "sha256", "size", "subdir", "timestamp", "url", "version",
)  # fmt: skip
_UNCHECKED = (1).to_bytes(4, "little")  # PEP 552: the file is valid whatever its source's time


def normalise(tree: Path, prefix: str, version: str, python: Path | None) -> None:
    """Rewrite records and compiled modules below `tree`; compile the others with `python`, if it can run here."""
    (tree / "CACHEDIR.TAG").unlink(missing_ok=True)
    _records(tree / "conda-meta")
    modules = tree / "lib" / f"python{version}"
    if python is not None and python.exists():
        _compile(python, modules, tree, prefix)
    for path in sorted(tree.rglob("*.pyc")):
        _settle(path)
    _modes(tree)


def provided_by(tree: Path, version: str) -> list[str]:
    """The Python projects of a prefix as pip knows them, `name==version`, sorted."""
    found = set()
    for metadata in _metadata(tree / "lib" / f"python{version}" / "site-packages"):
        headers = HeaderParser().parsestr(metadata.read_text("utf-8", "replace"), headersonly=True)
        if headers["Name"] and headers["Version"]:
            found.add(f"{_normalised(headers['Name'])}=={headers['Version'].strip()}")
    return sorted(found)


def _records(folder: Path) -> None:
    for path in sorted(folder.iterdir()):
        if path.suffix != ".json":
            path.unlink()  # a history, a lock
            continue
        data = json.loads(path.read_bytes())
        _replace(
            path, json.dumps(_plain(data), indent=2, sort_keys=True, ensure_ascii=False).encode() + b"\n"
        )


def _plain(data: Mapping[str, object]) -> dict[str, object]:
    kept = {key: data[key] for key in _KEPT if data.get(key) is not None}
    for key in ("url", "channel"):
        address = without_secrets(str(kept.get(key, "")))
        if address.startswith(("http://", "https://", "oci://")):
            kept[key] = address
        else:
            kept.pop(key, None)  # a folder of this machine
    files, paths = kept.get("files"), kept.get("paths_data")
    if isinstance(files, list):
        kept["files"] = sorted(map(str, files))
    if isinstance(paths, dict) and isinstance(paths.get("paths"), list):
        kept["paths_data"] = {**paths, "paths": sorted(paths["paths"], key=lambda path: str(path["_path"]))}
    return kept


def _compile(python: Path, modules: Path, tree: Path, prefix: str) -> None:
    """Compile what no package brought compiled, as it will be seen in the image. Runs the environment's own Python."""
    command = [
        str(python), "-I", "-S", "-m", "compileall", "-q", "-q", "-j", "0", "--invalidation-mode", "unchecked-hash",
        "-s", str(tree), "-p", prefix, str(modules),
    ]  # fmt: skip
    environment = {"PATH": os.environ.get("PATH", ""), "PYTHONHASHSEED": "0", "HOME": str(tree.parent)}
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=_COMPILE_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CondaInstallFailed(
            f"the conda environment's Python cannot be run: {error}",
            hint="does its platform fit this machine?",
        ) from error
    if done.returncode not in {0, 1}:  # 1: a file that is no Python of this version, such as a template
        raise CondaInstallFailed(
            f"the conda environment's Python does not work: {done.stderr.strip()[-500:]}",
            hint="choose another build of the package `python`",
        )


def _settle(path: Path) -> None:
    """Make a compiled module independent of its source's time, which no layer keeps."""
    data = path.read_bytes()
    if len(data) >= 16 and data[4:8] == bytes(4):
        _replace(path, data[:4] + _UNCHECKED + bytes(8) + data[16:])


def _modes(tree: Path) -> None:
    """What was written here has modes of this user's; what is linked from the cache has its package's."""
    for folder, _, names in os.walk(tree):
        Path(folder).chmod(0o755)
        for path in (Path(folder, name) for name in names):
            status = path.lstat()
            if stat.S_ISREG(status.st_mode) and status.st_nlink == 1:
                path.chmod(0o755 if status.st_mode & 0o100 else 0o644)


def _replace(path: Path, data: bytes) -> None:
    """Write anew: the file may be a link into the cache of packages."""
    mode = path.stat().st_mode & 0o777
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(data)
    part.chmod(mode)
    part.replace(path)


def _metadata(folder: Path) -> Iterator[Path]:
    if not folder.is_dir():
        return
    for entry in sorted(folder.iterdir()):
        if entry.name.endswith(".dist-info") and (entry / "METADATA").is_file():
            yield entry / "METADATA"
        elif entry.name.endswith(".egg-info"):
            yield from (path for path in (entry, entry / "PKG-INFO") if path.is_file())


def _normalised(name: str) -> str:
    return "-".join(part for part in name.lower().replace("_", "-").replace(".", "-").split("-") if part)
