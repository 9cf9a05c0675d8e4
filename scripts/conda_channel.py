"""A conda channel in a folder, with packages made for a test: `.conda` and `.tar.bz2`, noarch and not."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import struct
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

PLACEHOLDER = "/opt/" + "placeholder_" * 12  # what conda packages are built with: longer than any prefix


@dataclass(frozen=True)
class Package:
    """A package to make. `files` are contents by path; those in `with_prefix` hold PLACEHOLDER (`text`, `binary`)."""

    name: str
    version: str
    files: Mapping[str, bytes]
    depends: Sequence[str] = ()
    subdir: str = "noarch"
    noarch: str = ""  # "python" or "generic"
    entry_points: Sequence[str] = ()
    with_prefix: Mapping[str, str] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)  # symbolic links
    executables: Sequence[str] = ()
    ending: str = ".conda"


def add(channel: Path, package: Package) -> Path:
    """Write the package into the channel's folder; `index` makes it visible."""
    build = "py_0" if package.noarch == "python" else "h0_0"
    stem = f"{package.name}-{package.version}-{build}"
    target = channel / package.subdir / f"{stem}{package.ending}"
    target.parent.mkdir(parents=True, exist_ok=True)
    (channel / "noarch").mkdir(exist_ok=True)
    members, info = _members(package), _info(package, build)
    if package.ending == ".tar.bz2":
        target.write_bytes(_tar(package, {**members, **info}, "w:bz2"))
        return target
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("metadata.json", '{"conda_pkg_format_version": 2}')
        archive.writestr(f"pkg-{stem}.tar.zst", _zstandard(_tar(package, members, "w")))
        archive.writestr(f"info-{stem}.tar.zst", _zstandard(_tar(package, info, "w")))
    return target


def index(channel: Path) -> None:
    """Write the channel's repodata."""
    from rattler.index import index_fs

    asyncio.run(index_fs(channel, write_zst=False, write_shards=False, force=True))


def _members(package: Package) -> dict[str, bytes]:
    return {**package.files, **dict.fromkeys(package.links, b"")}


def _info(package: Package, build: str) -> dict[str, bytes]:
    about: dict[str, object] = {
        "name": package.name,
        "version": package.version,
        "build": build,
        "build_number": 0,
        "depends": list(package.depends),
        "subdir": package.subdir,
        "timestamp": 1_600_000_000_000,
    }
    if package.noarch:
        about["noarch"] = package.noarch
    paths = []
    for path, data in package.files.items():
        entry: dict[str, object] = {"_path": path, "path_type": "hardlink", "size_in_bytes": len(data)}
        entry["sha256"] = hashlib.sha256(data).hexdigest()
        if path in package.with_prefix:
            entry |= {"prefix_placeholder": PLACEHOLDER, "file_mode": package.with_prefix[path]}
        paths.append(entry)
    paths += [{"_path": path, "path_type": "softlink"} for path in package.links]
    found = {
        "info/index.json": json.dumps(about).encode(),
        "info/paths.json": json.dumps({"paths_version": 1, "paths": paths}).encode(),
    }
    if package.noarch == "python":
        link = {"noarch": {"type": "python", "entry_points": list(package.entry_points)}}
        found["info/link.json"] = json.dumps({**link, "package_metadata_version": 1}).encode()
    return found


def _tar(package: Package, members: Mapping[str, bytes], mode: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:  # type: ignore[call-overload]
        for path, data in members.items():
            entry = tarfile.TarInfo(path)
            entry.mode = 0o755 if path in package.executables else 0o644
            entry.mtime = 1_600_000_000
            if path in package.links:
                entry.type, entry.linkname = tarfile.SYMTYPE, package.links[path]
                archive.addfile(entry)
            else:
                entry.size = len(data)
                archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def _zstandard(data: bytes) -> bytes:
    """A Zstandard frame of raw blocks (RFC 8878, 3.1.1): valid, and not compressed."""
    window = 0x58  # 8 MiB
    frame = [struct.pack("<IBB", 0xFD2FB528, 0x00, window)]
    size = 1 << 17
    pieces = [data[start : start + size] for start in range(0, len(data), size)] or [b""]
    for number, piece in enumerate(pieces):
        is_last = number == len(pieces) - 1
        frame += [(len(piece) << 3 | is_last).to_bytes(3, "little"), piece]
    return b"".join(frame)
