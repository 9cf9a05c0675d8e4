"""Images that no Docker made: the same everywhere, wherever they go, and run by engines that know nothing of fnpack."""

from __future__ import annotations

import json
import subprocess
import tarfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import CommandLine, Ended

from fnpack.cli.exit_codes import ExitCode

pytestmark = [pytest.mark.docker, pytest.mark.timeout(240)]
SCRIPT = "import iniconfig\n\ndef init(): pass\n\ndef run(data):\n    return {'got': data, 'by': iniconfig.__name__}\n"


@pytest.fixture(scope="module")
def base(debian_base: str, docker_engine, tmp_path_factory) -> str:
    """The base image as an archive, so that the builds below need no Engine."""
    archive = tmp_path_factory.mktemp("base") / "base.tar"
    with archive.open("wb") as file:
        for chunk in docker_engine.images.get(debian_base).save():
            file.write(chunk)
    return f"docker-archive:{archive}"


@pytest.fixture
def build(fnpack: CommandLine, base: str) -> Callable[..., Ended]:
    (fnpack.folder / "score.py").write_text(SCRIPT)
    (fnpack.folder / "requirements.txt").write_text("iniconfig==2.3.0\n")

    def run(*arguments: str, **settings: str) -> Ended:
        options = ("--model", "model.pkl", "--auth-level", "anonymous", "--base-image", base)
        ended = fnpack("build", *options, *arguments, settings=settings, timeout_s=200)
        assert ended.code == ExitCode.OK, ended.stderr
        return ended

    return run


@pytest.fixture
def tag(registry: str) -> str:
    return f"{registry}/daemonless:{uuid.uuid4().hex[:8]}"


@pytest.fixture
def engine_tag(docker_engine) -> Iterator[str]:
    name = f"fnpack-test/daemonless:{uuid.uuid4().hex[:8]}"
    yield name
    for image in docker_engine.images.list(name):
        docker_engine.images.remove(image.id, force=True)


def digest_of(ended: Ended) -> str:
    return ended.stdout.strip().rpartition("@")[2]


def manifest_in(layout: Path) -> dict[str, Any]:
    index = json.loads((layout / "index.json").read_text())
    return blob_in(layout, index["manifests"][0]["digest"])


def blob_in(layout: Path, digest: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((layout / "blobs" / digest.replace(":", "/")).read_text())
    return content


def test_same_inputs_give_the_same_digest_whatever_the_folder_and_the_cache(
    fnpack, build, base, tmp_path
) -> None:
    first = digest_of(build("--output", "oci-layout:one"))
    again = digest_of(build("--output", "oci-layout:one"))
    other = CommandLine(tmp_path / "elsewhere", fnpack.home)
    fnpack.folder.rename(other.folder)
    fnpack.folder.mkdir()
    moved = other(
        "build", "--model", "model.pkl", "--auth-level", "anonymous", "--base-image", base,
        "--output", "oci-layout:two", settings={"FNPACK_CACHE": str(tmp_path / "new-cache")}, timeout_s=200,
    )  # fmt: skip
    assert moved.code == ExitCode.OK, moved.stderr
    assert first == again == digest_of(moved)
    assert first.startswith("sha256:")


def test_edited_script_makes_one_new_layer_and_source_date_epoch_dates_all(fnpack, build) -> None:
    build("--output", "oci-layout:one")
    (fnpack.folder / "score.py").write_text(SCRIPT + "# edited\n")
    build("--output", "oci-layout:two")
    before, after = (manifest_in(fnpack.folder / name)["layers"] for name in ("one", "two"))
    assert before[:-1] == after[:-1]
    assert before[-1] != after[-1]
    build("--output", "oci-layout:dated", SOURCE_DATE_EPOCH="1700000000")
    dated = manifest_in(fnpack.folder / "dated")
    assert dated["annotations"]["org.opencontainers.image.created"] == "2023-11-14T22:13:20Z"
    top = fnpack.folder / "dated" / "blobs" / dated["layers"][-1]["digest"].replace(":", "/")
    with tarfile.open(top) as tar:
        assert {entry.mtime for entry in tar} == {1_700_000_000}


def test_each_output_has_the_same_layers_and_the_engine_runs_it(
    fnpack, build, tag, engine_tag, docker_engine, skopeo, tmp_path
) -> None:
    build("--output", "oci-layout:layout")
    config = blob_in(fnpack.folder / "layout", manifest_in(fnpack.folder / "layout")["config"]["digest"])
    diff_ids = config["rootfs"]["diff_ids"]
    pushed = build("--tag", tag, "--push").stdout.strip()
    docker_engine.images.pull(pushed)
    assert docker_engine.images.get(pushed).attrs["RootFS"]["Layers"] == diff_ids
    build("--output", "docker-archive:image.tar", "--tag", engine_tag)
    with (fnpack.folder / "image.tar").open("rb") as file:
        (loaded,) = docker_engine.images.load(file)
    assert loaded.attrs["RootFS"]["Layers"] == diff_ids
    in_engine = build("--output", "engine", "--tag", engine_tag, DOCKER_HOST="unix:///var/run/docker.sock")
    assert docker_engine.images.get(in_engine.stdout.strip()).attrs["RootFS"]["Layers"] == diff_ids
    through = build("--builder", "docker", "--tag", engine_tag, DOCKER_HOST="unix:///var/run/docker.sock")
    assert docker_engine.images.get(through.stdout.strip()).attrs["RootFS"]["Layers"] == diff_ids
    copied = ["copy", "--src-tls-verify=false", f"docker://{pushed}", f"oci:{tmp_path}/copied:latest"]
    subprocess.run([skopeo, "--insecure-policy", *copied], check=True, capture_output=True)
    # skopeo compresses plain layers on its way; what they hold, the config says by their diff ids.
    assert manifest_in(tmp_path / "copied")["config"] == manifest_in(fnpack.folder / "layout")["config"]
    code = "import fnpack_scoring as s; print(s.score(b'hello').body.decode())"
    said = docker_engine.containers.run(
        pushed, entrypoint=["python3", "-c", CALL.format(code)], network_mode="none", remove=True,
        read_only=True, tmpfs={"/tmp": ""}, cap_drop=["ALL"],
    )  # fmt: skip
    assert json.loads(said) == {"got": "hello", "by": "iniconfig"}
    docker_engine.images.remove(pushed, force=True)


def test_image_whose_base_brings_the_packages_is_checked_in_the_engine(
    fnpack, build, base, engine_tag, docker_engine
) -> None:
    config = {"entryScript": "score.py", "environment": {"python": {"userManagedDependencies": True}}}
    (fnpack.folder / "config.json").write_text(json.dumps(config))
    (fnpack.folder / "score.py").write_text("def init(): pass\ndef run(data): return data\n")
    (fnpack.folder / "sample.txt").write_text("hello")
    options = [
        "build", "--inference-config", "config.json", "--base-image", base, "--output", "engine",
        "--tag", engine_tag, "--sample", "sample.txt",
    ]  # fmt: skip
    settings = {"DOCKER_HOST": "unix:///var/run/docker.sock"}
    passed = fnpack(*options, settings=settings, timeout_s=200)
    assert passed.code == ExitCode.OK, passed.stderr
    assert "sample.txt -> hello" in passed.stderr
    image = docker_engine.images.get(engine_tag)
    assert image.id == passed.stdout.strip()
    assert image.tags == [engine_tag]
    (fnpack.folder / "score.py").write_text("import nothing_like_it\ndef init(): pass\ndef run(d): pass\n")
    failed = fnpack(*options, settings=settings, timeout_s=200)
    assert (failed.code, failed.stdout) == (ExitCode.FAILED, "")
    assert "No module named 'nothing_like_it'" in failed.stderr
    assert docker_engine.images.get(engine_tag).id == image.id
    assert not docker_engine.images.list("fnpack-check/*")


CALL = (
    "import os, sys; sys.path[:0] = ['.', '.python_packages/lib/site-packages'];"
    "assert os.getuid() == 10001; {}"
)


def test_new_machine_takes_from_the_image_before_what_the_registry_has(fnpack, build, tag, tmp_path) -> None:
    first = digest_of(build("--tag", tag, "--push"))
    fresh = tmp_path / "fresh"
    second = digest_of(build("--tag", tag, "--push", FNPACK_CACHE=str(fresh)))
    assert second == first
    made = [path.stat().st_size for path in (fresh / "layers" / "layers").iterdir()]
    # What is smaller than a question whether it is there is sent again.
    assert max(made) < 200_000, "the host's and its packages' layers were taken from the registry"


def test_base_image_without_python_and_one_for_another_machine_are_refused(fnpack, tmp_path) -> None:
    layout = tmp_path / "empty"
    (layout / "blobs" / "sha256").mkdir(parents=True)

    def blob(content: object) -> dict[str, object]:
        import hashlib

        data = json.dumps(content).encode()
        digest = hashlib.sha256(data).hexdigest()
        (layout / "blobs" / "sha256" / digest).write_bytes(data)
        return {"mediaType": "application/json", "digest": f"sha256:{digest}", "size": len(data)}

    config = {"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": []}}
    manifest = blob({"schemaVersion": 2, "config": blob(config), "layers": []})
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [manifest]}))
    before = fnpack.snapshot()
    for options, said in (
        (["--platform", "linux/amd64"], "has no Python"),
        (["--platform", "linux/arm64"], "is for linux/amd64, not for linux/arm64"),
    ):
        ended = fnpack(
            "build", "--base-image", f"oci-layout:{layout}", "--output", "oci-layout:out", *options
        )
        assert (ended.code, ended.stdout) == (ExitCode.FAILED, "")
        assert "Error FN415: " in ended.stderr
        assert said in ended.stderr
    assert fnpack.snapshot() == before


def test_engine_pulls_the_base_of_its_builder_and_pushes_what_it_got(
    fnpack, build, debian_base, docker_engine, tag, registry
) -> None:
    base = f"{registry}/base-of-the-engine:{uuid.uuid4().hex[:8]}"
    docker_engine.images.get(debian_base).tag(base)
    docker_engine.images.push(base)
    docker_engine.images.remove(base)  # it has to be pulled
    engine = {"DOCKER_HOST": "unix:///var/run/docker.sock"}
    try:
        pushed = build(
            "--builder", "docker", "--base-image", base, "--tag", tag, "--push", **engine
        ).stdout.strip()
        assert docker_engine.images.get(base)
        built = docker_engine.images.get(tag)
        assert pushed == f"{tag.rpartition(':')[0]}@{digest_of_repository(built, tag)}"
        other = build("--output", "oci-layout:layout")
        config = blob_in(fnpack.folder / "layout", manifest_in(fnpack.folder / "layout")["config"]["digest"])
        assert built.attrs["RootFS"]["Layers"] == config["rootfs"]["diff_ids"], other.stderr
    finally:
        for name in (tag, base):
            docker_engine.images.remove(name, force=True)


def digest_of_repository(image, tag: str) -> str:
    repository = tag.rpartition(":")[0]
    (digest,) = (one for one in image.attrs["RepoDigests"] if one.startswith(f"{repository}@"))
    return str(digest.rpartition("@")[2])


def test_builder_of_the_engine_says_when_there_is_none(fnpack, base) -> None:
    options = ["--builder", "docker", "--base-image", "debian.invalid/none:1"]
    ended = fnpack("build", *options, settings={"DOCKER_HOST": "unix:///nonexistent.sock"})
    assert ended.code == ExitCode.MISSING_TOOL
    assert "no Docker Engine answers" in ended.stderr
