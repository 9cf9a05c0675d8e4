"""Reads `inferenceconfig.json`, the inference configuration of Azure ML SDK and CLI v1, in its documented schema.

What fnpack cannot honour is refused with the way out, never silently dropped; every problem is reported at once.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from fnpack.config.docker_section import DOCKER_KEYS, read_docker
from fnpack.config.files import label
from fnpack.config.json_text import read_json_object
from fnpack.config.problems import Problems
from fnpack.config.python_section import PYTHON_KEYS, read_python
from fnpack.config.registered import registered_environment
from fnpack.config.section import Section
from fnpack.config.unused_sections import refuse_databricks, refuse_r, refuse_spark
from fnpack.spec import Environment

_KEYS = ("entryScript", "sourceDirectory", "environment")
_FILE_KEY = "`environment.python.condaDependenciesFile`"
_MOVED = {  # the older form of the file, before environments
    "runtime": "this is the old form of the file: remove it (Python is the only runtime)",
    "condaFile": f"this is the old form of the file: use {_FILE_KEY}",
    "extraDockerFileSteps": "build an image with these steps and name it in `environment.docker.baseImage`",
    "extraDockerfileSteps": "build an image with these steps and name it in `environment.docker.baseImage`",
    "enableGpu": "name a base image with CUDA in `environment.docker.baseImage`",
    "cudaVersion": "name a base image with CUDA in `environment.docker.baseImage`",
    "baseImage": "it belongs into `environment.docker.baseImage`",
    "baseImageRegistry": "it belongs into `environment.docker.baseImageRegistry`",
    "description": "remove it: nothing reads it",
}
_ENVIRONMENT_KEYS = (
    "name",
    "version",
    "assetId",
    "environmentVariables",
    "inferencingStackVersion",
    "python",
    "docker",
    "spark",
    "databricks",
    "r",
)
_ENVIRONMENT_MOVED = {
    **{key: f"it belongs into `environment.docker.{key}`" for key in DOCKER_KEYS},
    **{key: f"it belongs into `environment.python.{key}`" for key in PYTHON_KEYS},
}


class InferenceConfig(NamedTuple):
    """An inference configuration as written, its environment ready to use.

    `source_directory` is relative to `folder`, the configuration file's own; `entry_script` is relative to the
    source directory, or to `folder` if there is none. `platform` is `linux/arm64` style, if the file says it.
    """

    entry_script: str | None
    source_directory: str | None
    environment: Environment
    folder: Path
    file: str  # how messages name it
    platform: str | None = None
    has_requirements: bool = False  # the file says what to install, or that nothing is to be


def read_inference_config(path: Path) -> InferenceConfig:
    """Read and validate an inference configuration.

    Raises ConfigurationFileError, ConfigurationSyntaxError (not JSON: where and why) or ConfigurationError.
    """
    problems = Problems()
    data = read_json_object(path, problems)
    top = Section(data, label(path), problems, known=_KEYS, moved=_MOVED)
    entry_script, source_directory = top.text("entryScript"), top.text("sourceDirectory")
    folder = path.absolute().parent
    config = InferenceConfig(entry_script, source_directory, Environment(), folder, top.file)
    section = top.section("environment", _ENVIRONMENT_KEYS, _ENVIRONMENT_MOVED)
    if section is not None:
        section = _registered(section, folder)
        config = _environment(section, config)
    problems.check()
    return config


def _environment(section: Section, config: InferenceConfig) -> InferenceConfig:
    _names(section)
    base = config.folder / config.source_directory if config.source_directory else config.folder
    python = read_python(section, base)
    docker = read_docker(section)
    refuse_spark(section)
    refuse_databricks(section)
    refuse_r(section)
    environment = Environment(
        requirements=python.requirements,
        constraints=python.constraints,
        conda=python.conda,
        requirements_source=python.source or "no requirements",
        python_version=python.version,
        user_managed=python.user_managed,
        base_image=docker.base_image,
        base_image_registry=docker.login,
        variables=_variables(section),
        notes=python.notes + docker.notes,
    )
    has_requirements = python.user_managed or python.source is not None
    return config._replace(
        environment=environment, platform=docker.platform, has_requirements=has_requirements
    )


def _registered(section: Section, folder: Path) -> Section:
    """The environment that a reference means, where the workspace of `folder` has it; else the section as it is."""
    if not _is_reference(section):
        return section
    name, version = section.text("name"), section.text("version")
    found = registered_environment(folder, name, version) if name is not None else None
    if found is None:
        return section
    file, data = found
    return Section(data, label(file), section.problems, known=_ENVIRONMENT_KEYS, moved=_ENVIRONMENT_MOVED)


def _is_reference(section: Section) -> bool:
    return bool(section.data) and set(section.data) <= {"name", "version", "assetId"}


def _names(section: Section) -> None:
    """Check name, version and the like; they only mean something in a workspace."""
    name = section.text("name")
    for key in ("version", "assetId", "inferencingStackVersion"):
        section.text(key)
    if name is not None and name.casefold().startswith(("microsoft", "azureml")):
        what = f"`{name}` is a name that Azure ML keeps for its own environments"
        section.problem("name", what, "write the environment's contents here, under a name of your own")
    elif _is_reference(section):
        what = "this only refers to an environment, and the local workspace has none of that name and version"
        section.problem(
            "", what, "write its `python` and `docker` sections here, or `Environment.register` it"
        )


def _variables(section: Section) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in (section.mapping("environmentVariables") or {}).items():
        key = f"environmentVariables.{name}"
        if not name.strip() or "=" in name or "\0" in name:
            section.problem(key, "this is no name for an environment variable")
        elif not isinstance(value, str):
            section.wrong_kind(key, "a text", value)
        else:
            found[name] = value
    return found
