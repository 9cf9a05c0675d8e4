"""A model alone, through the real command: app directory, build context, image, and the script to keep."""

from __future__ import annotations

import json
import tarfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import trained_models as trained
from tests.cli.conftest import CommandLine
from trained_models import ROWS

from fnpack.cli.exit_codes import ExitCode

CALL = (
    "import sys; sys.path[:0] = ['.', '.python_packages/lib/site-packages'];"
    "import fnpack_scoring as s; print(s.score({body!r}).body.decode())"
)


@pytest.fixture
def project(fnpack: CommandLine) -> CommandLine:
    """A folder with a model and nothing else."""
    for name in ("score.py", "model.pkl"):
        (fnpack.folder / name).unlink()
    trained.onnx_file(fnpack.folder)
    return fnpack


def test_model_alone_becomes_an_app_and_says_what_it_was_taken_for(project: CommandLine) -> None:
    ended = project("build", "--model", "model.onnx", "--app-only", "app")
    assert ended.code == ExitCode.OK, ended.stderr
    assert "no entry script: the built-in one for ONNX (opset " in ended.stderr
    facts = json.loads(project("build", "--model", "model.onnx", "--app-only", "app", "--json").stdout)
    assert facts["built_in_for"].startswith("ONNX (opset ")
    assert (facts["entry_script"], facts["models"]) == ("score.py", ["model:1"])
    app = project.folder / "app"
    assert "onnxruntime==" in (app / "requirements.txt").read_text()
    assert (project.folder / "pylock.toml").is_file()
    assert "onnxruntime>=" not in (app / "requirements.txt").read_text()


def test_build_context_of_a_model_alone_holds_the_script(project: CommandLine) -> None:
    ended = project("build", "--model", "model.onnx", "--dockerfile-only", "context", "--trigger", "blob")
    assert ended.code == ExitCode.OK, ended.stderr
    assert [path.name for path in project.folder.glob("context/**/score.py")] == ["score.py"]


def test_script_can_be_printed_kept_and_built_with(project: CommandLine) -> None:
    printed = project("model", "script", "model.onnx")
    assert printed.stdout.startswith("# model.onnx: ONNX (opset ")
    packages = project("model", "script", "model.onnx", "--requirements").stdout
    assert packages.startswith("onnxruntime>=")
    (project.folder / "score.py").write_text(printed.stdout)
    (project.folder / "requirements.txt").write_text(packages)
    assert project("build", "--model", "model.onnx", "--app-only", "kept").code == ExitCode.OK
    (project.folder / "score.py").unlink()
    assert project("build", "--model", "model.onnx", "--app-only", "made").code == ExitCode.OK
    kept, made = ((project.folder / name / "score.py").read_text() for name in ("kept", "made"))
    assert kept == made


def test_registered_model_is_served_too(project: CommandLine) -> None:
    assert project("model", "register", "model.onnx", "--name", "net").code == ExitCode.OK
    assert project("model", "script", "net:1").stdout.startswith("# model.onnx: ONNX")
    ended = project("build", "--model", "net:1", "--app-only", "app", "--json")
    assert json.loads(ended.stdout)["models"] == ["net:1"]


@pytest.fixture
def image_name(docker_engine) -> Iterator[str]:
    name = f"fnpack-test/no-code:{uuid.uuid4().hex[:8]}"
    yield name
    for image in docker_engine.images.list(name):
        docker_engine.images.remove(image.id, force=True)


@pytest.mark.timeout(400)
def test_image_of_a_model_alone_predicts(
    project: CommandLine, debian_base: str, docker_engine, image_name: str, tmp_path: Path
) -> None:
    base = tmp_path / "base.tar"
    with base.open("wb") as file:
        for chunk in docker_engine.images.get(debian_base).save():
            file.write(chunk)
    common = ("build", "--model", "model.onnx", "--trigger", "http", "--base-image", f"docker-archive:{base}")
    ended = project(*common, "--output", "oci-layout:image", timeout_s=200)
    assert ended.code == ExitCode.OK, ended.stderr
    assert ended.stdout.startswith("oci-layout:")
    blobs = project.folder / "image" / "blobs" / "sha256"
    index = json.loads((project.folder / "image" / "index.json").read_text())
    manifest = json.loads((blobs / index["manifests"][0]["digest"].removeprefix("sha256:")).read_text())
    with tarfile.open(blobs / manifest["layers"][-1]["digest"].removeprefix("sha256:")) as tar:
        assert any(name.endswith("/score.py") for name in tar.getnames())
    archived = project(*common, "--output", "docker-archive:image.tar", "--tag", image_name, timeout_s=200)
    assert archived.code == ExitCode.OK, archived.stderr
    with (project.folder / "image.tar").open("rb") as file:
        docker_engine.images.load(file)
    said = docker_engine.containers.run(
        image_name, entrypoint=["python3", "-c", CALL.format(body=json.dumps({"data": ROWS}).encode())],
        network_mode="none", remove=True, read_only=True, tmpfs={"/tmp": ""}, cap_drop=["ALL"],
    )  # fmt: skip
    assert json.loads(said)["label"] == trained.classifier().predict(ROWS).tolist()
