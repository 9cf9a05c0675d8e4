from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fnpack.config.inference import InferenceConfig, read_inference_config
from fnpack.errors import ConfigurationError, ConfigurationFileError
from fnpack.spec import RegistryLogin

FULL = {
    "entryScript": "score.py",
    "sourceDirectory": "src",
    "environment": {
        "name": "diabetes",
        "version": "1",
        "assetId": None,
        "environmentVariables": {"EXAMPLE_ENV_VAR": "EXAMPLE_VALUE"},
        "inferencingStackVersion": "latest",
        "python": {
            "userManagedDependencies": False,
            "interpreterPath": "python",
            "condaDependenciesFile": None,
            "baseCondaEnvironment": None,
            "condaDependencies": {
                "name": "project_environment",
                "channels": ["conda-forge"],
                "dependencies": [
                    "python=3.10.18",
                    "pip",
                    {"pip": ["azureml-defaults", "scikit-learn==1.5.0", "inference-schema[numpy-support]"]},
                ],
            },
        },
        "docker": {
            "enabled": False,
            "baseImage": "team/base:1",
            "baseDockerfile": None,
            "buildContext": None,
            "baseImageRegistry": {
                "address": "registry.example.com",
                "username": "me",
                "password": "hunter2",
                "registryIdentity": None,
            },
            "platform": {"os": "Linux", "architecture": "arm64"},
            "sharedVolumes": True,
            "shmSize": "2g",
            "arguments": [],
        },
        "spark": {"repositories": [], "packages": [], "precachePackages": True},
        "databricks": {
            "mavenLibraries": [],
            "pypiLibraries": [],
            "rcranLibraries": [],
            "jarLibraries": [],
            "eggLibraries": [],
        },
        "r": None,
    },
}


def read(data: object, folder: Path) -> InferenceConfig:
    (folder / "inferenceconfig.json").write_text(json.dumps(data))
    return read_inference_config(Path("inferenceconfig.json"))


def environment(folder: Path, **sections: object) -> InferenceConfig:
    return read({"entryScript": "score.py", "environment": sections}, folder)


def problems(folder: Path, **sections: object) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        environment(folder, **sections)
    return str(caught.value).splitlines()


def test_full_documented_schema_is_read(folder: Path) -> None:
    config = read(FULL, folder)
    assert (config.entry_script, config.source_directory, config.platform) == (
        "score.py",
        "src",
        "linux/arm64",
    )
    assert config.folder == folder
    found = config.environment
    assert found.requirements == ("scikit-learn==1.5.0", "inference-schema[numpy-support]")
    assert found.requirements_source == "inferenceconfig.json: environment.python.condaDependencies"
    assert found.python_version == "3.10"
    assert found.base_image == "registry.example.com/team/base:1"
    assert found.base_image_registry == RegistryLogin("registry.example.com", "me", "hunter2")
    assert found.variables == {"EXAMPLE_ENV_VAR": "EXAMPLE_VALUE"}
    assert [note.partition(":")[0] for note in found.notes] == ["azureml-defaults is left out"]
    assert "hunter2" not in repr(config)


@pytest.mark.parametrize("data", [{}, {"environment": None}, {"entryScript": None, "sourceDirectory": None}])
def test_every_key_may_be_left_out(folder: Path, data: object) -> None:
    config = read(data, folder)
    assert config.entry_script is None
    assert config.environment.requirements == ()
    assert config.environment.requirements_source == "no requirements"
    assert not config.has_requirements


def test_all_problems_are_reported_at_once_with_their_paths(folder: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read(
            {
                "entryscript": "score.py",
                "sourceDirectory": 1,
                "environment": {
                    "docker": {"baseimage": "x", "enabled": "yes", "arguments": ["a", 1]},
                    "python": {"condaDependecies": {}, "userManagedDependencies": 0},
                    "environmentVariables": {"A": 1},
                },
            },
            folder,
        )
    assert str(caught.value).splitlines() == [
        "inferenceconfig.json: entryscript: unknown key; did you mean `entryScript`?",
        "inferenceconfig.json: sourceDirectory: must be a text, not a number",
        "inferenceconfig.json: environment.python.condaDependecies: unknown key; did you mean `condaDependencies`?",
        "inferenceconfig.json: environment.python.userManagedDependencies: must be true or false, not a number",
        "inferenceconfig.json: environment.docker.baseimage: unknown key; did you mean `baseImage`?",
        "inferenceconfig.json: environment.docker.enabled: must be true or false, not a text",
        "inferenceconfig.json: environment.docker.arguments[1]: must be a text, not a number",
        "inferenceconfig.json: environment.environmentVariables.A: must be a text, not a number",
    ]
    assert len(caught.value.problems) == 8
    assert caught.value.code == "FN300"


def test_unknown_key_unlike_any_other_has_no_suggestion(folder: Path) -> None:
    assert problems(folder, zzz=1) == ["inferenceconfig.json: environment.zzz: unknown key"]


@pytest.mark.parametrize(
    ("key", "suggestion"),
    [
        ("condaFile", "environment.python.condaDependenciesFile"),
        ("runtime", "remove it"),
        ("extraDockerfileSteps", "environment.docker.baseImage"),
        ("enableGpu", "environment.docker.baseImage"),
        ("baseImage", "environment.docker.baseImage"),
    ],
)
def test_key_of_the_old_form_says_where_it_went(folder: Path, key: str, suggestion: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read({"entryScript": "score.py", key: None}, folder)
    assert suggestion in str(caught.value)


def test_key_one_level_too_high_says_where_it_belongs(folder: Path) -> None:
    assert problems(folder, baseImage="x", condaDependencies={}) == [
        "inferenceconfig.json: environment.baseImage: unknown key; it belongs into `environment.docker.baseImage`",
        "inferenceconfig.json: environment.condaDependencies: unknown key; "
        "it belongs into `environment.python.condaDependencies`",
    ]


@pytest.mark.parametrize(
    "sections", [{"name": "mine"}, {"name": "mine", "version": "2"}, {"assetId": "x", "version": None}]
)
def test_reference_to_a_registered_environment_is_refused(folder: Path, sections: dict[str, object]) -> None:
    (problem,) = problems(folder, **sections)
    assert problem.startswith(
        "inferenceconfig.json: environment: this only refers to an environment, and the local workspace has none"
    )
    assert "write its `python` and `docker` sections here" in problem


@pytest.mark.parametrize("name", ["AzureML-Minimal", "Microsoft-x", "azureml-x"])
def test_name_that_azure_ml_keeps_for_itself_is_refused(folder: Path, name: str) -> None:
    assert "keeps for its own" in problems(folder, name=name, python={})[0]


def python(folder: Path, **keys: object) -> InferenceConfig:
    return environment(folder, python=keys)


def test_user_managed_environment_installs_nothing(folder: Path) -> None:
    config = python(
        folder,
        userManagedDependencies=True,
        interpreterPath="/opt/py/bin/python",
        condaDependencies={"bad": 1},
    )
    assert config.environment.user_managed
    assert config.environment.requirements == ()
    assert config.has_requirements
    assert [note.split()[0] for note in config.environment.notes] == ["conda", "interpreterPath"]


@pytest.mark.parametrize(
    ("keys", "what"),
    [
        (
            {"interpreterPath": "/usr/bin/python"},
            "environment.python.interpreterPath: only `python` and `python3`",
        ),
        (
            {"baseCondaEnvironment": "amlenv"},
            "environment.python.baseCondaEnvironment: a conda environment of the",
        ),
        (
            {"condaDependencies": {}, "condaDependenciesFile": "env.yml"},
            "environment.python: both `condaDependencies` and `condaDependenciesFile` are given; keep one",
        ),
    ],
)
def test_python_setting_that_cannot_be_honoured_is_refused(
    folder: Path, keys: dict[str, object], what: str
) -> None:
    (folder / "env.yml").write_text("dependencies: []\n")
    assert what in problems(folder, python=keys)[0]


def test_conda_file_is_relative_to_the_source_directory(folder: Path) -> None:
    (folder / "src").mkdir()
    (folder / "src/env.yml").write_text("dependencies:\n- python=3.11\n- pip:\n  - -r more.txt\n  - numpy\n")
    (folder / "src/more.txt").write_text("pandas\n")
    config = read(
        {"sourceDirectory": "src", "environment": {"python": {"condaDependenciesFile": "env.yml"}}}, folder
    )
    assert config.environment.requirements == ("pandas", "numpy")
    assert config.environment.requirements_source == "src/env.yml"
    assert config.environment.python_version == "3.11"


def test_conda_file_without_source_directory_is_beside_the_configuration(folder: Path) -> None:
    (folder / "conf").mkdir()
    (folder / "conf/env.yml").write_text("dependencies: [{pip: [numpy]}]")
    data = {"environment": {"python": {"condaDependenciesFile": "env.yml"}}}
    (folder / "conf/ic.json").write_text(json.dumps(data))
    assert read_inference_config(Path("conf/ic.json")).environment.requirements == ("numpy",)


def docker(folder: Path, **keys: object) -> InferenceConfig:
    return environment(folder, docker=keys)


@pytest.mark.parametrize(
    ("image", "address", "complete"),
    [
        ("base:1", None, "base:1"),
        ("base:1", "registry.example.com", "registry.example.com/base:1"),
        ("base:1", "https://registry.example.com/", "registry.example.com/base:1"),
        ("registry.example.com/base", "registry.example.com", "registry.example.com/base"),
        ("localhost:5000/a/b@sha256:" + "0" * 64, None, "localhost:5000/a/b@sha256:" + "0" * 64),
    ],
)
def test_base_image_is_completed_by_its_registry(
    folder: Path, image: str, address: str | None, complete: str
) -> None:
    config = docker(folder, baseImage=image, baseImageRegistry={"address": address})
    assert config.environment.base_image == complete


@pytest.mark.parametrize(
    ("keys", "what"),
    [
        (
            {"baseDockerfile": "FROM x"},
            "docker.baseDockerfile: a base image cannot be built on the way; build that",
        ),
        (
            {"buildContext": {"locationType": "git", "location": "x"}},
            "docker.buildContext: a base image cannot be",
        ),
        (
            {"buildContext": {"locationTyp": "git"}},
            "docker.buildContext.locationTyp: unknown key; did you mean",
        ),
        ({"platform": {"os": "Windows"}}, "docker.platform.os: images are for Linux only"),
        (
            {"platform": {"architecture": "amd46"}},
            "architecture: unknown architecture; did you mean `amd64`?",
        ),
        ({"platform": {"architecture": "s390x"}}, "unknown architecture; use `amd64` or `arm64`"),
        ({"baseImage": "Base Image"}, "docker.baseImage: this is not an image's name"),
        ({"baseImage": "example.com/Base:1"}, "docker.baseImage: an image's name is lower-case"),
        ({"baseImage": "https://example.com/base"}, "docker.baseImage: an image's name has no `https://`"),
        (
            {"baseImageRegistry": {"username": "a", "password": "b"}},
            "baseImageRegistry.address: the registry's",
        ),
        ({"baseImageRegistry": {"address": "a.b", "username": "a"}}, "only of use together"),
        (
            {"baseImageRegistry": {"registryIdentity": {"clientId": "x"}}},
            "registryIdentity: a managed identity",
        ),
        (
            {"baseImage": "a.example/x", "baseImageRegistry": {"address": "b.example"}},
            "docker.baseImage: the image is in `a.example`, but `baseImageRegistry.address` is another",
        ),
    ],
)
def test_docker_setting_that_cannot_be_honoured_is_refused(
    folder: Path, keys: dict[str, object], what: str
) -> None:
    assert what in problems(folder, docker=keys)[0]


def test_run_options_become_notes(folder: Path) -> None:
    notes = docker(folder, shmSize="8g", arguments=["--gpus", "all"]).environment.notes
    assert ["`docker run`" in note for note in notes] == [True, True]


@pytest.mark.parametrize(
    "sections",
    [
        {"spark": None, "databricks": None, "r": None, "python": {}},
        {"spark": {}, "databricks": {}, "r": {}},
        {"r": {"userManaged": False, "cranPackages": [], "rVersion": None}},
    ],
)
def test_sections_without_meaning_pass_with_their_defaults(folder: Path, sections: dict[str, object]) -> None:
    assert environment(folder, **sections).environment.requirements == ()


@pytest.mark.parametrize(
    ("sections", "where"),
    [
        ({"spark": {"packages": [{"group": "g"}]}}, "environment.spark.packages: this cannot be honoured"),
        (
            {"spark": {"precachePackages": False}},
            "environment.spark.precachePackages: this cannot be honoured",
        ),
        ({"databricks": {"pypiLibraries": [{}]}}, "environment.databricks.pypiLibraries: this cannot"),
        ({"r": {"rVersion": "4.1"}}, "environment.r.rVersion: this cannot be honoured"),
        ({"r": {"rversion": "4.1"}}, "environment.r.rversion: unknown key; did you mean `rVersion`?"),
    ],
)
def test_sections_without_meaning_are_refused_with_content(
    folder: Path, sections: dict[str, object], where: str
) -> None:
    assert where in problems(folder, **sections)[0]


@pytest.mark.parametrize("name", ["", "A=B", "A\0"])
def test_impossible_variable_name_is_refused(folder: Path, name: str) -> None:
    assert "no name for an environment variable" in problems(folder, environmentVariables={name: "x"})[0]


def test_missing_file_is_named(folder: Path) -> None:
    with pytest.raises(ConfigurationFileError, match=r"nothing\.json: there is no such file"):
        read_inference_config(Path("nothing.json"))


def _keys(data: object) -> set[str]:
    if isinstance(data, dict):
        return set(data) | {key for value in data.values() for key in _keys(value)}
    return {key for value in data for key in _keys(value)} if isinstance(data, list) else set()


SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8))
SHAPES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.one_of(st.sampled_from([*sorted(_keys(FULL)), "pip"]), st.text(max_size=5)), inner, max_size=4
        ),
    ),
    max_leaves=20,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(shape=SHAPES, path=st.sampled_from(["", "python", "docker", "python.condaDependencies", "spark"]))
def test_any_shape_is_read_or_refused_as_configuration(folder: Path, shape: object, path: str) -> None:
    data: object = shape
    for key in reversed(["environment", *path.split(".")] if path else []):
        data = {key: data}
    with suppress(ConfigurationError):
        read(data, folder)
