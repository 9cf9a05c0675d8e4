"""`Environment`: kept by versions, written and read as SDK v1 did, usable from an inferenceconfig.json."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from fnpack import CondaDependencies, ContainerRegistry, Environment, Workspace
from fnpack.config.inference import read_inference_config
from fnpack.exceptions import UserErrorException
from fnpack.sdk.not_carried import NotCarriedOver


@pytest.fixture
def environment() -> Environment:
    made = Environment("sklearn")
    made.python.conda_dependencies = CondaDependencies.create(pip_packages=["numpy"], python_version="3.11")
    made.docker.base_image = "registry.example/base:1"
    made.docker.base_image_registry = ContainerRegistry("registry.example", "me", "c2VzYW1l")
    made.environment_variables["KEY"] = "value"
    return made


def test_registering_makes_versions_of_what_differs(workspace: Workspace, environment: Environment) -> None:
    assert environment.register(workspace).version == "1"
    assert environment.register(workspace).version == "1"
    environment.environment_variables["KEY"] = "other"
    assert environment.register(workspace).version == "2"
    assert environment.version is None
    found = Environment.get(workspace, "sklearn")
    assert (found.version, found.environment_variables) == ("2", {"KEY": "other"})
    assert Environment.get(workspace, "sklearn", version="1").environment_variables == {"KEY": "value"}
    assert list(found.python.conda_dependencies.pip_packages) == ["numpy"]
    assert found.docker.base_image == "registry.example/base:1"
    assert workspace.environments.keys() == {"sklearn"}


def test_password_of_a_registry_is_not_written(workspace: Workspace, environment: Environment) -> None:
    environment.register(workspace)
    texts = [file.read_text() for file in workspace.path.rglob("*") if file.is_file()]
    assert "registry.example" in "".join(texts)
    assert "c2VzYW1l" not in "".join(texts)
    assert "c2VzYW1l" not in repr(environment.docker.base_image_registry)


def test_many_at_once_get_versions_of_their_own(workspace: Workspace) -> None:
    def register(number: int) -> None:
        made = Environment("e")
        made.environment_variables["N"] = str(number)
        made.register(workspace)

    threads = [threading.Thread(target=register, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = {
        Environment.get(workspace, "e", str(version)).environment_variables["N"] for version in range(1, 9)
    }
    assert found == {str(number) for number in range(8)}


def test_labels_name_versions(workspace: Workspace, environment: Environment) -> None:
    environment.register(workspace)
    environment.environment_variables["KEY"] = "other"
    environment.register(workspace)
    Environment.label(workspace, "sklearn", "1", ["good", "old"])
    assert Environment.get(workspace, "sklearn", label="good").version == "1"
    assert Environment.get(workspace, "sklearn", label="latest").version == "2"
    for wrong in (
        {"label": "bad"},
        {"version": "7"},
        {"version": "1", "label": "good"},
        {"version": "../.."},
    ):
        with pytest.raises(UserErrorException):
            Environment.get(workspace, "sklearn", **wrong)


def test_folder_form_is_sdk_v1s(environment: Environment, tmp_path: Path) -> None:
    environment.save_to_directory(str(tmp_path / "env"))
    assert {path.name for path in (tmp_path / "env").iterdir()} == {
        "azureml_environment.json",
        "conda_dependencies.yml",
    }
    found = Environment.load_from_directory(str(tmp_path / "env"))
    assert found.python.conda_dependencies.as_dict() == environment.python.conda_dependencies.as_dict()
    assert found.environment_variables == {"KEY": "value"}
    with pytest.raises(UserErrorException, match="exists"):
        environment.save_to_directory(str(tmp_path / "env"))
    environment.save_to_directory(str(tmp_path / "env"), overwrite=True)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"name": 1}', '{"name": "x", "python": 3, "docker": []}']
)
def test_broken_folder_is_told_or_read_as_far_as_it_goes(tmp_path: Path, text: str) -> None:
    (tmp_path / "azureml_environment.json").write_text(text)
    if '"x"' in text:
        assert Environment.load_from_directory(str(tmp_path)).name == "x"
        return
    with pytest.raises(UserErrorException):
        Environment.load_from_directory(str(tmp_path))


def test_other_ways_to_make_one(project: Path) -> None:
    (project / "env.yml").write_text("dependencies: [python=3.12, {pip: [numpy]}]\n")
    (project / "requirements.txt").write_text("numpy==2.2.6\n# note\n")
    assert (
        Environment.from_conda_specification("a", "env.yml").python.conda_dependencies.get_python_version()
        == "3.12"
    )
    made = Environment.from_pip_requirements("b", "requirements.txt")
    assert list(made.python.conda_dependencies.pip_packages) == ["numpy==2.2.6"]
    bare = Environment.from_docker_image("c", "registry.example/x:1")
    assert (bare.docker.base_image, bare.python.user_managed_dependencies) == ("registry.example/x:1", True)
    full = Environment.from_docker_image("d", "registry.example/x:1", pip_requirements="requirements.txt")
    assert not full.python.user_managed_dependencies
    clone = full.clone("e")
    clone.environment_variables["x"] = "1"
    assert (clone.name, full.environment_variables) == ("e", {})
    for call in (Environment.from_dockerfile, Environment.from_existing_conda_environment):
        with pytest.raises(NotCarriedOver, match="is not part of fnpack"):
            call("x", "y")


def test_azure_mls_own_environments_are_told_apart(workspace: Workspace) -> None:
    minimal = Environment.get(workspace, "AzureML-Minimal").clone("mine")
    minimal.python.conda_dependencies.add_pip_package("numpy")
    assert minimal.register(workspace).version == "1"
    with pytest.raises(UserErrorException, match="Azure ML's own environments"):
        Environment.get(workspace, "AzureML-sklearn-1.0")
    with pytest.raises(UserErrorException, match="keeps for its own"):
        Environment("AzureML-x").register(workspace)


def test_base_image_and_dockerfile_exclude_each_other(caplog, project: Path) -> None:
    (project / "Dockerfile").write_text("FROM y\n")
    docker = Environment("e").docker
    given = lambda: (docker.base_image, docker.base_dockerfile)  # noqa: E731
    docker.base_image = "x"
    docker.base_dockerfile = "Dockerfile"
    assert given() == (None, "FROM y\n")
    docker.base_image = "z"
    assert given() == ("z", None)
    assert "base_image is removed" in caplog.text


def test_configuration_file_may_name_a_registered_environment(
    workspace: Workspace, environment: Environment, project: Path
) -> None:
    environment.register(workspace)
    file = project / "inferenceconfig.json"
    for reference in ({"name": "sklearn"}, {"name": "sklearn", "version": "1"}):
        file.write_text(json.dumps({"entryScript": "score.py", "environment": reference}))
        found = read_inference_config(file).environment
        assert found.requirements == ("numpy",)
        assert (found.base_image, dict(found.variables)) == ("registry.example/base:1", {"KEY": "value"})


def test_constraints_file_is_refused_and_not_dropped(tmp_path: Path) -> None:
    (tmp_path / "limits.txt").write_text("numpy<2\n")
    (tmp_path / "requirements.txt").write_text("numpy\n-c limits.txt\n")
    with pytest.raises(UserErrorException, match="names a constraints file"):
        Environment.from_pip_requirements("a", str(tmp_path / "requirements.txt"))
