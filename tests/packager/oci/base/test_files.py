from __future__ import annotations

import gzip
import hashlib
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from fnpack.oci.base import Base
from fnpack.oci.base.files import file_base
from fnpack.oci.errors import BaseInvalid
from image_files import tar_of, write_base_layout, write_saved

TREES = ({"a": b"one" * 1000}, {"b": b"two"})


def plain(base: Base) -> list[bytes]:
    """The layers, uncompressed, once descriptors and diff ids are verified."""
    found = []
    for layer in base.layers:
        with base.open_layer(layer) as stream:
            data = stream.read()
        assert f"sha256:{hashlib.sha256(data).hexdigest()}" == layer.descriptor.digest
        assert len(data) == layer.descriptor.size_bytes
        found.append(gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data)
        assert f"sha256:{hashlib.sha256(found[-1]).hexdigest()}" == layer.diff_id
        with layer.content.open(7) as stream:
            assert stream.read() == data[7:]
    return found


def archived(folder: Path) -> Path:
    target = folder.with_suffix(".tar")
    subprocess.run(["tar", "-cf", target, "-C", folder, "."], check=True)
    return target


@pytest.mark.parametrize("is_archive", [False, True])
def test_an_oci_layout_is_read(tmp_path: Path, is_archive: bool) -> None:
    folder = write_base_layout(tmp_path / "layout", TREES, Env=["A=1"])
    base = file_base(archived(folder) if is_archive else folder)
    assert plain(base) == [tar_of(tree) for tree in TREES]
    assert (base.platform, base.config["config"]) == ("linux/amd64", {"Env": ["A=1"]})
    assert base.digest == json.loads((folder / "index.json").read_text())["manifests"][0]["digest"]


@pytest.mark.parametrize("compresses", [False, True])
def test_what_docker_saved_is_read(tmp_path: Path, compresses: bool) -> None:
    trees = (*TREES, TREES[0])
    base = file_base(write_saved(tmp_path / "saved.tar", trees, compresses=compresses))
    assert plain(base) == [tar_of(tree) for tree in trees]
    assert base.name == "base:1"


def test_the_platform_is_chosen(tmp_path: Path) -> None:
    folder = write_base_layout(tmp_path / "layout", TREES, platforms=("linux/amd64", "linux/arm64/v8"))
    assert file_base(folder).platform == "linux/amd64"
    assert file_base(folder, "linux/arm64").platform == "linux/arm64/v8"
    with pytest.raises(BaseInvalid, match=r"no image for linux/s390x, only for linux/amd64, linux/arm64/v8"):
        file_base(folder, "linux/s390x")
    with pytest.raises(BaseInvalid, match="is for linux/amd64, not for linux/arm64"):
        file_base(write_saved(tmp_path / "saved.tar", TREES), "linux/arm64")


def cut_blob(folder: Path) -> None:
    layers = [
        path for path in (folder / "blobs" / "sha256").iterdir() if path.read_bytes()[:2] == b"\x1f\x8b"
    ]
    blob = layers[0]
    blob.write_bytes(blob.read_bytes()[:-1])


def drop_blobs(folder: Path) -> None:
    for blob in (folder / "blobs" / "sha256").iterdir():
        blob.unlink()


def forge_manifest(folder: Path) -> None:
    digest = json.loads((folder / "index.json").read_text())["manifests"][0]["digest"]
    blob = folder / "blobs" / "sha256" / digest.removeprefix("sha256:")
    blob.write_bytes(blob.read_bytes().replace(b'"schemaVersion": 2', b'"schemaVersion": 3'))


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (cut_blob, "bytes, not"),
        (drop_blobs, "has no blobs/sha256/"),
        (forge_manifest, "has other bytes than its digest says"),
        (lambda folder: (folder / "index.json").write_text("{"), "is not JSON"),
        (lambda folder: (folder / "index.json").write_text("[]"), "is not a JSON object"),
        (lambda folder: (folder / "index.json").write_text('{"manifests": []}'), "has no image in it"),
        (
            lambda folder: (folder / "index.json").write_text(
                '{"manifests": [{"digest": "sha256:../../x"}]}'
            ),
            "SHA-256",
        ),
        (lambda folder: (folder / "index.json").unlink(), "is no OCI layout"),
    ],
)
def test_a_broken_layout_says_what_is_wrong(
    tmp_path: Path, change: Callable[[Path], object], what: str
) -> None:
    folder = write_base_layout(tmp_path / "layout", TREES)
    change(folder)
    with pytest.raises(BaseInvalid, match=what) as caught:
        file_base(folder)
    assert "layout" in str(caught.value)


def test_what_is_no_image_is_refused(tmp_path: Path) -> None:
    for data, what in (
        (b"x" * 2000, "cannot be read as an archive"),
        (tar_of({"a": b""}), "is no OCI layout"),
    ):
        (tmp_path / "file.tar").write_bytes(data)
        with pytest.raises(BaseInvalid, match=what):
            file_base(tmp_path / "file.tar")
    with pytest.raises(BaseInvalid, match="there is no base image"):
        file_base(tmp_path / "gone")
