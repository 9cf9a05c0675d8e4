"""The blob sample of SDK v1's how-to, with its import lines rewritten by `fnpack migrate` and nothing else changed."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from conda_channel import Package, add, index

# As the how-to has it, for SDK v1: register, describe the environment, package for blobs, print where the image is.
SAMPLE = """\
from azureml.core import Workspace
from azureml.core.conda_dependencies import CondaDependencies
from azureml.core.environment import Environment
from azureml.core.model import InferenceConfig, Model
from azureml.contrib.functions import package, BLOB_TRIGGER

ws = Workspace.from_config()

model = Model.register(workspace=ws,
                       model_path="model.txt",
                       model_name="my-model",
                       tags={"area": "demo"},
                       description="A factor")

# Create an environment and add dependencies to it
myenv = Environment(name="myenv")
# Enable Docker based environment
myenv.docker.enabled = True
myenv.python.conda_dependencies = CondaDependencies.create(pip_packages=["azureml-defaults"])

inference_config = InferenceConfig(entry_script="score.py", environment=myenv)

blob = package(ws, [model], inference_config, functions_enabled=True, trigger=BLOB_TRIGGER,
               input_path="input/{blobname}.json", output_path="output/{blobname}_out.json")
blob.wait_for_creation(show_output=True)
# Display the package location/ACR path
print(blob.location)
"""
SCRIPT = """\
import json
from azureml.core.model import Model


def init():
    global factor
    with open(Model.get_model_path("my-model")) as file:
        factor = float(file.read())


def run(input_data):
    data = json.loads(input_data)["data"]
    return [factor * value for value in data]
"""
CONFIG = {"subscription_id": "00000000-0000", "resource_group": "rg", "workspace_name": "ws"}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Sample, script, model and the workspace's config.json, as they lay in an Azure ML project."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "sample.py").write_text(SAMPLE)
    (folder / "score.py").write_text(SCRIPT)
    (folder / "model.txt").write_text("2.5")
    (folder / "config.json").write_text(json.dumps(CONFIG))
    return folder


def run(
    project: Path, *arguments: str, settings: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("FNPACK_") or "TEST" in name
    }
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=project,
        env={**environment, "FNPACK_HOME": str(project.parent / "home"), **(settings or {})},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )


def migrated(project: Path) -> None:
    """Let `fnpack migrate` do what a person would; only the import lines may differ."""
    done = run(project, "-m", "fnpack", "migrate", ".", "--json", "--no-backup")
    assert done.returncode == 0, done.stderr
    files = {Path(file["path"]).name: file for file in json.loads(done.stdout)["files"]}
    assert (files["sample.py"]["rewritten"], files["sample.py"]["to_decide"]) == (True, [])
    assert (files["score.py"]["rewritten"], files["score.py"]["entry_script"]) == (False, True)
    assert (project / "score.py").read_text() == SCRIPT
    old, new = SAMPLE.splitlines(), (project / "sample.py").read_text().splitlines()
    assert len(old) == len(new)
    changed = [(before, after) for before, after in zip(old, new, strict=True) if before != after]
    assert [after for _, after in changed] == [before.replace("azureml", "fnpack") for before, _ in changed]
    assert len(changed) == 5


def test_sample_ends_as_an_app_that_scores_blobs(
    project: Path, start_host, azurite, containers, score
) -> None:
    """Without an Engine: the app inside of the build context is the one that an image would hold."""
    migrated(project)
    sample = (project / "sample.py").read_text()
    given, out = containers
    sample = sample.replace('"input/', f'"{given}/').replace('"output/', f'"{out}/')
    # The one argument that SDK v1 has for "no image, please".
    (project / "sample.py").write_text(
        sample.replace("functions_enabled", "generate_dockerfile=True, functions_enabled")
    )
    done = run(project, "sample.py")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "Registering model my-model"
    assert "Package creation Succeeded" in lines
    app = Path(lines[-1]) / "app"
    # In an image the models lie beside the app, and a layer brings them together.
    (app / "azureml-models").mkdir(exist_ok=True)
    for path in (Path(lines[-1]) / "azureml-models").iterdir():
        path.rename(app / "azureml-models" / path.name)
    start_host(app, settings={"TriggerConnectionString": azurite.connection_string})
    score(azurite.connection_string, given, out)


def test_sample_ends_as_an_image_that_scores_blobs(
    project: Path, azurite, containers, registry, debian_base, docker_engine, score
) -> None:
    migrated(project)
    given, out = containers
    sample = (project / "sample.py").read_text()
    (project / "sample.py").write_text(
        sample.replace('"input/', f'"{given}/').replace('"output/', f'"{out}/')
    )
    place = f"{registry}/sdk-{uuid.uuid4().hex[:8]}"
    done = run(
        project, "sample.py", settings={"FNPACK_BASE_IMAGE": debian_base, "FNPACK_CONTAINER_REGISTRY": place}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    location = done.stdout.splitlines()[-1]
    assert re.fullmatch(re.escape(place) + r"/package@sha256:[0-9a-f]{64}", location)
    container = docker_engine.containers.run(
        location,
        detach=True,
        network_mode="host",
        environment={"TriggerConnectionString": azurite.connection_string, "FNPACK_PORT": "0"},
    )
    try:
        score(azurite.connection_string, given, out)
    finally:
        container.remove(force=True)
        docker_engine.images.remove(docker_engine.images.get(location).id, force=True)


PIP_LINE = 'CondaDependencies.create(pip_packages=["azureml-defaults"])'
CONDA_LINE = 'CondaDependencies.create(conda_packages=["scikit-learn"], pip_packages=["azureml-defaults"])'


@pytest.fixture
def channels(tmp_path: Path) -> Path:
    """conda-forge as far as the test needs it: a Python that is the base image's, and a package to be imported."""
    forge, own = tmp_path / "channels" / "conda-forge", "{}.{}".format(*sys.version_info)
    packages = f"lib/python{own}/site-packages"
    script = (
        "#!/bin/sh\n"
        f'here=$(dirname "$(readlink -f "$0")")\nexport PYTHONPATH="$PYTHONPATH:$here/../{packages}"\n'
        f'exec /usr/bin/python{own} "$@"\n'
    )
    name = f"bin/python{own}"
    files = {name: script.encode(), f"lib/python{own}/os.py": b"x = 1\n"}
    subdir = "linux-aarch64" if platform.machine() == "aarch64" else "linux-64"
    links = {"bin/python": f"python{own}", "bin/python3": f"python{own}"}
    add(forge, Package("python", f"{own}.1", files, subdir=subdir, links=links, executables=[name]))
    metadata = b"Metadata-Version: 2.1\nName: scikit-learn\nVersion: 1.7.2\n\nText\n"
    learn = {
        "site-packages/sklearn/__init__.py": b"__version__ = '1.7.2'\n",
        "site-packages/scikit_learn-1.7.2.dist-info/METADATA": metadata,
    }
    add(forge, Package("scikit-learn", "1.7.2", learn, depends=["python"], noarch="python"))
    index(forge)
    return tmp_path / "channels"


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="the base image's Python stands in for conda's")
def test_sample_with_conda_packages_ends_as_an_image_that_scores_blobs(
    project: Path, channels: Path, azurite, containers, registry, debian_base, docker_engine, score
) -> None:
    """The how-to's line with conda packages; the base image's Python stands in for conda's own."""
    sample = (project / "sample.py").read_text()
    assert PIP_LINE in sample
    given, out = containers
    for old, new in ((PIP_LINE, CONDA_LINE), ('"input/', f'"{given}/'), ('"output/', f'"{out}/')):
        sample = sample.replace(old, new)
    (project / "sample.py").write_text(sample.replace("azureml.", "fnpack."))
    script = SCRIPT.replace("import json\n", "import json\nimport sklearn\n", 1)
    (project / "score.py").write_text(script)
    place = f"{registry}/sdk-{uuid.uuid4().hex[:8]}"
    settings = {
        "FNPACK_BASE_IMAGE": debian_base,
        "FNPACK_CONTAINER_REGISTRY": place,
        "CONDA_CHANNEL_ALIAS": channels.as_uri(),
        "RATTLER_CACHE_DIR": str(channels / "cache"),
        "FNPACK_CHECK": "false",  # in which this machine's /usr/bin/python3 would stand in
    }
    done = run(project, "sample.py", settings=settings)
    assert done.returncode == 0, done.stdout + done.stderr
    location = done.stdout.splitlines()[-1]
    container = docker_engine.containers.run(
        location,
        detach=True,
        network_mode="host",
        environment={"TriggerConnectionString": azurite.connection_string, "FNPACK_PORT": "0"},
    )
    try:
        score(azurite.connection_string, given, out)
    finally:
        container.remove(force=True)
        docker_engine.images.remove(docker_engine.images.get(location).id, force=True)


@pytest.fixture
def containers(azurite) -> Iterator[tuple[str, str]]:
    """An input and an output container of this test's own."""
    from azure.storage.blob import BlobServiceClient

    names = (f"input-{uuid.uuid4().hex[:8]}", f"output-{uuid.uuid4().hex[:8]}")
    with BlobServiceClient.from_connection_string(azurite.connection_string) as service:
        for name in names:
            service.create_container(name)
        yield names
        for name in names:
            service.delete_container(name)


@pytest.fixture
def score(wait_until) -> Callable[..., None]:
    """Drops a blob and reads what the script made of it."""

    def drop_and_read(connection: str, given: str, out: str) -> None:
        from azure.core.exceptions import ResourceNotFoundError
        from azure.storage.blob import BlobServiceClient

        with BlobServiceClient.from_connection_string(connection) as service:
            service.get_blob_client(given, "one.json").upload_blob(b'{"data": [2, 4]}')

            def result() -> bytes | None:
                try:
                    return service.get_blob_client(out, "one_out.json").download_blob().readall()
                except ResourceNotFoundError:
                    return None

            assert json.loads(wait_until(result, timeout_s=60)) == [5.0, 10.0]

    return drop_and_read
