"""Base images of a few bytes, for builds that run nothing in them: a layout with the names of a Python and its libc."""

from __future__ import annotations

import hashlib
import io
import json
import platform
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path

OWN_PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
OWN_ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), "amd64")
OTHER_ARCHITECTURE = "arm64" if OWN_ARCHITECTURE == "amd64" else "amd64"


def write_base(
    folder: Path,
    *,
    python: str = OWN_PYTHON,
    architecture: str = OWN_ARCHITECTURE,
    files: Sequence[str] = (),
    environment: Sequence[str] = (),
) -> str:
    """Write an OCI layout with empty `files`; returns what names it as a base image."""
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def blob(data: bytes, kind: str) -> dict[str, object]:
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return {
            "mediaType": f"application/vnd.oci.image.{kind}",
            "digest": f"sha256:{digest}",
            "size": len(data),
        }

    def content(value: object, kind: str) -> dict[str, object]:
        return blob(json.dumps(value).encode(), kind)

    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name in (f"usr/local/bin/python{python}", "lib/x86_64-linux-gnu/libc-2.31.so", *files):
            tar.addfile(tarfile.TarInfo(name))
    layer = blob(out.getvalue(), "layer.v1.tar")
    config = {
        "os": "linux",
        "architecture": architecture,
        "config": {"Env": ["PATH=/usr/local/bin:/usr/bin", *environment]},
        "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]},
    }
    manifest = {"schemaVersion": 2, "config": content(config, "config.v1+json"), "layers": [layer]}
    index = {"schemaVersion": 2, "manifests": [content(manifest, "manifest.v1+json")]}
    (folder / "index.json").write_text(json.dumps(index))
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    return f"oci-layout:{folder}"
