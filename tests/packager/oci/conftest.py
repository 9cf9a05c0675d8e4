"""Wheels made by the tests, layers read back with the standard library."""

from __future__ import annotations

import base64
import hashlib
import io
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from fnpack.dependencies.wheels import WheelFile
from fnpack.oci.content import Layer
from fnpack.oci.layer_cache import LayerCache


@pytest.fixture
def cache(tmp_path: Path) -> LayerCache:
    return LayerCache(tmp_path / "cache")


@pytest.fixture
def make_wheel(tmp_path: Path) -> Callable[..., WheelFile]:
    def make(
        name: str,
        files: Mapping[str, bytes],
        *,
        record: bool = True,
        stored: bool = False,
        modes: Mapping[str, int] | None = None,
    ) -> WheelFile:
        info = f"{name}-1.0.dist-info"
        members = {
            **files,
            f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n".encode(),
            f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        }
        rows = [
            f"{path},sha256={base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b'=').decode()},{len(data)}"
            for path, data in members.items()
        ]
        if record:
            members[f"{info}/RECORD"] = ("\n".join([*rows, f"{info}/RECORD,,"]) + "\n").encode()
        path = tmp_path / f"{name}-1.0-py3-none-any.whl"
        kind = zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED
        with zipfile.ZipFile(path, "w", kind) as archive:
            for member, data in members.items():
                entry = zipfile.ZipInfo(member)
                entry.compress_type = kind
                entry.external_attr = (modes or {}).get(member, 0o100644) << 16
                archive.writestr(entry, data)
        return WheelFile(name, "1.0", path, hashlib.sha256(path.read_bytes()).hexdigest(), path.name)

    return make


def entries(layer: Layer) -> dict[str, tuple[str, int, bytes]]:
    """What is in a layer: by path its type, mode and content; each path once."""
    with layer.content.open() as stream:
        data = stream.read()
    assert f"sha256:{hashlib.sha256(data).hexdigest()}" == layer.descriptor.digest
    assert len(data) == layer.descriptor.size_bytes
    found: dict[str, tuple[str, int, bytes]] = {}
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:*") as tar:
        for entry in tar:
            content = tar.extractfile(entry).read() if entry.isfile() else b""  # type: ignore[union-attr]
            assert entry.name not in found
            assert (entry.uid, entry.gid, entry.uname) == (0, 0, "")
            kind = "folder" if entry.isdir() else "link" if entry.issym() else "file"
            found[entry.name] = (kind, entry.mode, entry.linkname.encode() or content)
    return found
