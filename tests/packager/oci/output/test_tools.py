"""Other people's tools take what is written: layers of many gzip members above all."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fnpack.oci.assemble import assemble
from fnpack.oci.base import Base
from fnpack.oci.base.files import file_base
from fnpack.oci.cache import LayerCache
from fnpack.oci.files import FileEntry, FilesRecipe
from fnpack.oci.output.archive import write_archive
from fnpack.oci.output.layout import write_layout
from fnpack.oci.place import Place
from fnpack.oci.plan import Image, ImagePlan
from fnpack.oci.runtime import Runtime
from fnpack.oci.wheels import wheel_recipes
from layer_files import write_wheel

Podman = Callable[..., str]
MEMBERS = {f"demo/{number}.py": f"# module {number}\n".encode() * 100 for number in range(1200)}


@pytest.fixture
def image(tiny_base: Base, tmp_path: Path, cache: LayerCache) -> Image:
    """Packages in more than a thousand gzip members, and an uncompressed layer."""
    wheels, _ = wheel_recipes([write_wheel(tmp_path, files=MEMBERS)], Place("/app"), cache, compiler=None)
    script = FilesRecipe("app", (FileEntry("home/score.py", data=b"x = 1\n"),))
    settings = {"Entrypoint": ["cat"], "Cmd": ["/home/score.py", "/app/demo/1199.py"], "User": "10001:10001"}
    return assemble(ImagePlan(tiny_base, (*wheels, script), Runtime(settings=settings)), cache)


def test_skopeo_copies_and_unpacks_every_output(image: Image, tmp_path: Path, skopeo: str) -> None:
    write_layout([image], tmp_path / "layout", tag="demo:1")
    write_archive([image], tmp_path / "oci.tar", tag="demo:1")
    write_archive([image], tmp_path / "docker.tar", tag="demo:1", for_docker=True)
    sources = ("oci:layout:1", "oci-archive:oci.tar", "docker-archive:docker.tar")
    for number, source in enumerate(
        sources
    ):  # an archive for docker holds layers uncompressed: each is unpacked
        target = f"copy{number}.tar"
        copy = [skopeo, "copy", "--quiet", "--insecure-policy", source, f"docker-archive:{target}:demo:1"]
        subprocess.run(copy, cwd=tmp_path, check=True, capture_output=True)
        assert file_base(tmp_path / target).diff_ids == tuple(layer.diff_id for layer in image.layers)
    inspect = [skopeo, "inspect", "oci:layout:1"]
    seen = json.loads(subprocess.run(inspect, cwd=tmp_path, check=True, capture_output=True).stdout)
    assert seen["Digest"] == image.manifest.descriptor.digest


@pytest.fixture
def podman(podman_program: str, tmp_path: Path) -> Iterator[Podman]:
    """Runs podman with a store of its own."""
    with tempfile.TemporaryDirectory(
        prefix="fnp-", ignore_cleanup_errors=True
    ) as folder:  # its paths must be short
        place = ["--root", f"{folder}/store", "--runroot", f"{folder}/run", "--storage-driver", "vfs"]
        own = [podman_program, *place, "--cgroup-manager", "cgroupfs", "--events-backend", "file"]

        def run(*arguments: str) -> str:
            done = subprocess.run(
                [*own, *arguments], capture_output=True, text=True, check=False, cwd=tmp_path
            )
            assert done.returncode == 0, done.stderr
            return done.stdout.strip()

        yield run
        subprocess.run([*own, "rmi", "--all", "--force"], capture_output=True, check=False)


@pytest.mark.parametrize("source", ["oci:layout:1", "oci-archive:oci.tar", "docker-archive:docker.tar"])
def test_podman_runs_it_as_nobody_on_a_read_only_disk(
    image: Image, tmp_path: Path, podman: Podman, source: str
) -> None:
    match source.partition(":")[0]:
        case "oci":
            write_layout([image], tmp_path / "layout", tag="demo:1")
        case kind:
            path = tmp_path / source.partition(":")[2]
            write_archive([image], path, tag="demo:1", for_docker=kind == "docker-archive")
    podman("pull", "--quiet", source)
    assert podman("images", "--quiet", "--no-trunc") == image.image_id
    limits = [
        "--ulimit=nofile=1024:1024",
        "--ulimit=nproc=1024:1024",
    ]  # no more than a machine in a machine may
    out = podman("run", "--rm", "--read-only", "--network=none", *limits, image.image_id)
    assert out == f"x = 1\n{MEMBERS['demo/1199.py'].decode()}".strip()


def test_an_index_is_seen_for_each_platform(image: Image, tmp_path: Path, skopeo: str) -> None:
    arm = replace(image, platform="linux/arm64", annotations={"for": "arm"})
    write_layout([image, arm], tmp_path / "layout", tag="demo:1")
    raw = [skopeo, "inspect", "--raw", "oci:layout:1"]
    index = json.loads(subprocess.run(raw, cwd=tmp_path, check=True, capture_output=True).stdout)
    assert [one["digest"] for one in index["manifests"]] == [
        one.manifest.descriptor.digest for one in (image, arm)
    ]
