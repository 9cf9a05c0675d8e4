from __future__ import annotations

import hashlib
import json
import tarfile
from pathlib import Path

import pytest

from fnpack.oci.assemble import assemble
from fnpack.oci.base.files import file_base
from fnpack.oci.cache import LayerCache
from fnpack.oci.errors import LayerLost, OutputUnwritable, PlanInvalid
from fnpack.oci.files import FileEntry, FilesRecipe
from fnpack.oci.output.archive import write_archive
from fnpack.oci.output.layout import write_layout
from fnpack.oci.place import Place
from fnpack.oci.plan import Image, ImagePlan
from fnpack.oci.runtime import runtime
from fnpack.oci.wheels import wheel_recipes
from fnpack.progress import ProgressEvent
from image_files import write_base_layout
from layer_files import write_wheel

TREES = ({"usr/bin/python3": b"one" * 1000}, {"b": b"two"})


def image(
    tmp_path: Path, cache: LayerCache, script: bytes = b"x = 1", platform: str = "linux/amd64"
) -> Image:
    base = file_base(
        write_base_layout(tmp_path / f"base-{platform.replace('/', '-')}", TREES, platforms=[platform])
    )
    layers = (
        FilesRecipe("model", (FileEntry("m", data=b"m" * 5000),)),
        FilesRecipe("app", (FileEntry("s", data=script),)),
    )
    return assemble(ImagePlan(base, layers, runtime("fnpack", {})), cache)


def check_layout(folder: Path) -> dict[str, list[str]]:
    """Each tag's diff ids, once every blob has its digest and nothing else lies around."""
    blobs = folder / "blobs" / "sha256"
    for blob in blobs.iterdir():
        assert hashlib.sha256(blob.read_bytes()).hexdigest() == blob.name
    found = {}
    for entry in json.loads((folder / "index.json").read_text())["manifests"]:
        manifest = json.loads((blobs / entry["digest"][7:]).read_text())
        for one in manifest.get("manifests", [entry]):
            inner = json.loads((blobs / one["digest"][7:]).read_text())
            config = json.loads((blobs / inner["config"]["digest"][7:]).read_text())
            assert all(
                (blobs / layer["digest"][7:]).stat().st_size == layer["size"] for layer in inner["layers"]
            )
            key = f"{entry['annotations']['io.containerd.image.name']} {config['architecture']}"
            found[key] = config["rootfs"]["diff_ids"]
    assert json.loads((folder / "oci-layout").read_text()) == {"imageLayoutVersion": "1.0.0"}
    return found


def diff_ids(image: Image) -> list[str]:
    return [layer.diff_id for layer in image.layers]


def test_a_layout_holds_the_image(tmp_path: Path, cache: LayerCache) -> None:
    made = image(tmp_path, cache)
    digest = write_layout([made], tmp_path / "out", tag="shop/score:2")
    assert digest == made.manifest.descriptor.digest
    assert check_layout(tmp_path / "out") == {"shop/score:2 amd64": diff_ids(made)}
    assert file_base(tmp_path / "out").diff_ids == tuple(diff_ids(made))


def test_an_edit_writes_what_changed_and_tidies_up(tmp_path: Path, cache: LayerCache) -> None:
    out = tmp_path / "out"
    write_layout([image(tmp_path, cache)], out, tag="score")
    write_layout([image(tmp_path, cache)], out, tag="other")
    count = len(list((out / "blobs" / "sha256").iterdir()))
    events: list[ProgressEvent] = []
    edited = image(tmp_path, cache, b"x = 2")
    write_layout([edited], out, tag="score", progress=events.append)
    assert [event.step for event in events if event.status == "done"] == [
        "write app",
        "write config",
        "write manifest linux/amd64",
    ]
    assert len(list((out / "blobs" / "sha256").iterdir())) == count + 3  # the other tag has the earlier ones
    assert set(check_layout(out)) == {"score:latest amd64", "other:latest amd64"}
    write_layout([edited], out, tag="other")
    assert len(list((out / "blobs" / "sha256").iterdir())) == count


def test_several_platforms_make_an_index(tmp_path: Path, cache: LayerCache) -> None:
    images = [image(tmp_path, cache, platform=one) for one in ("linux/amd64", "linux/arm64")]
    write_layout(images, tmp_path / "out", tag="score:1")
    assert set(check_layout(tmp_path / "out")) == {"score:1 amd64", "score:1 arm64"}
    with pytest.raises(PlanInvalid, match="holds one image, not 2"):
        write_archive(images, tmp_path / "out.tar", tag="score:1", for_docker=True)


def test_archives_hold_the_same_image_and_are_reproducible(tmp_path: Path, cache: LayerCache) -> None:
    made = image(tmp_path, cache)
    for for_docker in (False, True):
        digests = set()
        for number in range(2):
            path = tmp_path / f"out{number}.tar"
            assert (
                write_archive([made], path, tag="score:1", for_docker=for_docker)
                == made.manifest.descriptor.digest
            )
            digests.add(hashlib.sha256(path.read_bytes()).hexdigest())
        assert len(digests) == 1
        folder = tmp_path / f"unpacked-{for_docker}"
        with tarfile.open(path) as archive:
            archive.extractall(folder, filter="data")
        assert check_layout(folder) == {"score:1 amd64": diff_ids(made)}
        assert (folder / "manifest.json").exists() == for_docker
    listed = json.loads((folder / "manifest.json").read_text())[0]
    assert listed["RepoTags"] == ["score:1"]
    assert listed["Config"].endswith(made.image_id.removeprefix("sha256:"))


@pytest.mark.parametrize("name", ["file", "full"])
def test_what_is_not_ours_is_left_alone(tmp_path: Path, cache: LayerCache, name: str) -> None:
    (tmp_path / "file").write_text("keep")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("keep")
    with pytest.raises(OutputUnwritable, match="is not a folder|is no OCI layout"):
        write_layout([image(tmp_path, cache)], tmp_path / name, tag="score")
    assert sorted(path.name for path in (tmp_path / "full").iterdir()) == ["thesis.tex"]


def test_a_folder_that_is_not_there_is_an_error_for_an_archive(tmp_path: Path, cache: LayerCache) -> None:
    with pytest.raises(OutputUnwritable, match="No such file"):
        write_archive([image(tmp_path, cache)], tmp_path / "gone" / "out.tar", tag="score")


def test_a_base_layer_with_other_bytes_is_not_written(tmp_path: Path, cache: LayerCache) -> None:
    made = image(tmp_path, cache)
    blob = tmp_path / "base-linux-amd64" / "blobs" / "sha256" / made.layers[0].descriptor.digest[7:]
    blob.write_bytes(bytes(len(blob.read_bytes())))
    with pytest.raises(LayerLost, match="has other bytes than its digest says"):
        write_layout([made], tmp_path / "out", tag="score")
    with pytest.raises(LayerLost):
        write_archive([made], tmp_path / "out.tar", tag="score")
    assert not (tmp_path / "out" / "index.json").exists()
    assert not list(tmp_path.glob("*.tar*")) + list(tmp_path.glob(".out*"))


def test_a_damaged_layer_of_the_cache_is_made_again_by_the_next_build(
    tmp_path: Path, cache: LayerCache
) -> None:
    base = file_base(write_base_layout(tmp_path / "base", TREES))
    recipes, _ = wheel_recipes([write_wheel(tmp_path)], Place("/app"), cache, compiler=None)
    plan = ImagePlan(base, recipes, runtime("fnpack", {}))
    made = assemble(plan, cache)
    (blob,) = (cache.folder / "blobs").iterdir()
    blob.write_bytes(bytes(blob.stat().st_size))
    with pytest.raises(LayerLost, match="has other bytes"):
        write_layout([made], tmp_path / "out", tag="score")
    write_layout([assemble(plan, cache)], tmp_path / "out", tag="score")
    assert check_layout(tmp_path / "out") == {"score:latest amd64": diff_ids(made)}
