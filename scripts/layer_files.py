"""Wheels made by hand, as good and as bad as they come, and layers read back."""

from __future__ import annotations

import base64
import csv
import gzip
import hashlib
import io
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

from fnpack.dependencies.wheels import WheelFile
from fnpack.oci.content import Layer

Files = Mapping[str, bytes]


def write_wheel(
    folder: Path,
    name: str = "demo",
    files: Files | None = None,
    *,
    version: str = "1.0",
    record: Callable[[list[list[str]]], list[list[str]]] = lambda rows: rows,
    change: Callable[[zipfile.ZipFile], None] = lambda archive: None,
    method: int = zipfile.ZIP_DEFLATED,
) -> WheelFile:
    """Write a wheel of `files`; `record` and `change` may break it. Names with a mode: `bin/x|755`."""
    info = f"{name}-{version}.dist-info"
    contents = {f"{name}/__init__.py": b""} if files is None else dict(files)
    contents[f"{info}/METADATA"] = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode()
    contents[f"{info}/WHEEL"] = (
        b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    )
    rows = [[path.partition("|")[0], record_digest(data), str(len(data))] for path, data in contents.items()]
    rows = record([*rows, [f"{info}/RECORD", "", ""]])
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    contents[f"{info}/RECORD"] = text.getvalue().encode()
    path = folder / f"{name}-{version}-py3-none-any.whl"
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", method) as archive:
        for named, data in contents.items():
            file, _, mode = named.partition("|")
            entry = zipfile.ZipInfo(file, (2020, 1, 1, 0, 0, 0))
            entry.external_attr = (0o100000 | int(mode or "644", 8)) << 16
            archive.writestr(entry, data, method)
        change(archive)
    return wheel_file(path)


def wheel_file(path: Path) -> WheelFile:
    """A wheel as dependencies have it."""
    name, version = path.name.split("-")[:2]
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return WheelFile(name.replace("_", "-").lower(), version, path, digest, path.name)


def record_digest(data: bytes) -> str:
    """A digest as RECORD has it."""
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def layer_bytes(layer: Layer) -> bytes:
    """The layer's bytes, once it is certain that they are what is said of them."""
    with layer.content.open() as stream:
        data = stream.read()
    descriptor = layer.descriptor
    assert (len(data), f"sha256:{hashlib.sha256(data).hexdigest()}") == (
        descriptor.size_bytes,
        descriptor.digest,
    )
    return data


def layer_tar(layer: Layer) -> bytes:
    """The layer, uncompressed, once its diff id is verified."""
    data = layer_bytes(layer)
    plain = gzip.decompress(data) if layer.descriptor.media_type.endswith("gzip") else data
    assert f"sha256:{hashlib.sha256(plain).hexdigest()}" == layer.diff_id
    return plain


def layer_files(layer: Layer) -> dict[str, bytes]:
    """The regular files of a layer by path, for a layer that fits into the memory."""
    layer_tar(layer)
    return dict(each_file(layer))


def each_file(layer: Layer) -> Iterator[tuple[str, bytes]]:
    """The regular files, one after the other; every path is there once, and every folder before what is in it."""
    names: set[str] = set()
    folders: set[str] = set()
    is_gzip = layer.descriptor.media_type.endswith("gzip")
    with ExitStack() as stack:
        stream = stack.enter_context(layer.content.open())
        plain = stack.enter_context(gzip.GzipFile(fileobj=stream)) if is_gzip else stream
        archive = stack.enter_context(tarfile.open(fileobj=plain, mode="r|"))
        for member in archive:
            assert member.name not in names
            names.add(member.name)
            assert "/" not in member.name or member.name.rpartition("/")[0] in folders
            assert (member.mtime, member.uid, member.gid, member.uname) == (0, 0, 0, "")
            assert member.mode in (0o644, 0o755, 0o777)
            if member.isdir():
                folders.add(member.name)
            elif member.isreg():
                file = archive.extractfile(member)
                assert file is not None
                yield member.name, file.read()
