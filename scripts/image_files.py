"""Base images made by hand: layers of a few files, as an OCI layout or as `docker save` writes them."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

# A file's content, a link's target, or None for a folder
Tree = Mapping[str, "bytes | str | None"]


def tar_of(tree: Tree) -> bytes:
    """A layer, uncompressed."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for path, what in tree.items():
            entry = tarfile.TarInfo(path)
            if what is None:
                entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            elif isinstance(what, str):
                entry.type, entry.linkname = tarfile.SYMTYPE, what
            else:
                entry.size, entry.mode = len(what), 0o755
            archive.addfile(entry, io.BytesIO(what) if isinstance(what, bytes) else None)
    return out.getvalue()


def digest(data: bytes) -> str:
    """`sha256:...`."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def config_of(layers: Sequence[bytes], platform: str = "linux/amd64", **settings: object) -> bytes:
    """An image's config."""
    names = dict(zip(("os", "architecture", "variant"), platform.split("/"), strict=False))
    rootfs = {"type": "layers", "diff_ids": [digest(layer) for layer in layers]}
    return json.dumps({**names, "config": settings, "rootfs": rootfs}).encode()


def write_base_layout(
    folder: Path, trees: Sequence[Tree], *, platforms: Sequence[str] = ("linux/amd64",), **settings: object
) -> Path:
    """An OCI layout with an image for each platform."""
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True, exist_ok=True)

    def put(data: bytes, kind: str) -> dict[str, object]:
        (blobs / digest(data).removeprefix("sha256:")).write_bytes(data)
        return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": digest(data), "size": len(data)}

    entries = []
    for platform in platforms:
        layers = [tar_of(tree) for tree in trees]
        manifest = {
            "schemaVersion": 2,
            "config": put(config_of(layers, platform, **settings), "config.v1+json"),
            "layers": [put(gzip.compress(layer, mtime=0), "layer.v1.tar+gzip") for layer in layers],
        }
        names = dict(zip(("os", "architecture", "variant"), platform.split("/"), strict=False))
        entries.append({**put(json.dumps(manifest).encode(), "manifest.v1+json"), "platform": names})
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": entries}))
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    return folder


def write_saved(path: Path, trees: Sequence[Tree], *, compresses: bool = False, **settings: object) -> Path:
    """What `docker save` writes: plain layers with a link for one that is there twice."""
    layers = [tar_of(tree) for tree in trees]
    config = config_of(layers, **settings)  # type: ignore[arg-type]
    name = f"{digest(config).removeprefix('sha256:')}.json"
    members: dict[str, bytes | str | None] = {name: config}
    names: list[str] = []
    places: dict[bytes, str] = {}
    for number, layer in enumerate(layers):
        place = f"{number:064}/layer.tar"
        members[place] = gzip.compress(layer) if compresses else layer
        if layer in places:
            members[place] = f"../{places[layer]}"
        places.setdefault(layer, place)
        names.append(place)
    listed = [{"Config": name, "RepoTags": ["base:1"], "Layers": names}]
    members["manifest.json"] = json.dumps(listed).encode()
    path.write_bytes(tar_of(members))
    return path
