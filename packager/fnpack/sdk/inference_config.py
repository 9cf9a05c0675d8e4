"""`InferenceConfig`: an entry script and its environment, in SDK v1's newer and older form."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

from fnpack.app.entry_script import EntryScriptError, check_entry_script
from fnpack.config.build import BuildSettings, complete
from fnpack.config.options import OPTIONS, Rank, Setting, Value
from fnpack.config.project import ProjectSettings, RawSettings, merge
from fnpack.exceptions import UserErrorException
from fnpack.sdk.conda_dependencies import CondaDependencies
from fnpack.sdk.container_registry import ContainerRegistry
from fnpack.sdk.environment import Environment, without_login
from fnpack.spec import ModelSource, RegistryLogin

CONFIG = "inferenceconfig.json"
_RUNTIMES = ("python", "python-slim")
# What the environment may say about a package; the rest of a build is said by the call.
_VARIABLES = (
    "host",
    "base_image",
    "platform",
    "python_version",
    "connection",
    "identity",
    "builder",
    "output",
    "insecure_registry",
    "check",
    "check_timeout",
    "sample",
)
_GPU = "name a base image with CUDA: `environment.docker.base_image`"


class InferenceConfig:
    """An entry script (`init()` and `run(data)`), the folder that travels with it, and its environment."""

    def __init__(
        self,
        entry_script: str,
        runtime: str | None = None,
        conda_file: str | None = None,
        extra_docker_file_steps: str | None = None,
        source_directory: str | None = None,
        enable_gpu: bool | None = None,
        description: str | None = None,
        base_image: str | None = None,
        base_image_registry: ContainerRegistry | None = None,
        cuda_version: str | None = None,
        environment: Environment | None = None,
    ) -> None:
        """Checks at once that script and folder exist and that the script can be used.

        `entry_script` and `conda_file` are relative to `source_directory`, where one is given. Raises
        UserErrorException.
        """
        old = {
            "runtime": runtime,
            "conda_file": conda_file,
            "extra_docker_file_steps": extra_docker_file_steps,
            "enable_gpu": enable_gpu,
            "base_image": base_image,
            "base_image_registry": base_image_registry,
            "cuda_version": cuda_version,
        }
        given = [name for name, value in old.items() if value is not None]
        if given and environment is not None:
            raise UserErrorException(
                f"{', '.join(given)} and environment exclude each other",
                hint="keep the environment and set it there",
            )
        if given:
            warnings.warn(
                f"{', '.join(given)}: the older form; use environment=Environment(...)",
                DeprecationWarning,
                stacklevel=2,
            )
        self.entry_script, self.source_directory = entry_script, source_directory
        self.description, self.runtime, self.conda_file = description, runtime, conda_file
        _refuse_old(runtime, extra_docker_file_steps, enable_gpu, cuda_version)
        self._folder = Path(source_directory or "").absolute()
        self.validate_configuration()
        self.environment = environment or self._environment(base_image, base_image_registry)

    def validate_configuration(self) -> None:
        """Check source directory and script again. Raises UserErrorException."""
        folder = self._folder
        if not folder.is_dir():
            raise UserErrorException(f"there is no source directory {self.source_directory}")
        script = folder / self.entry_script
        if not script.is_file():
            raise UserErrorException(
                f"there is no entry script {script}",
                hint="its path is relative to the source directory, if there is one",
            )
        try:
            check_entry_script(script)
        except EntryScriptError as error:
            raise UserErrorException(str(error), hint=error.hint) from error

    def validation_script_content(self) -> None:
        """Check the script again. Raises UserErrorException."""
        self.validate_configuration()

    def __repr__(self) -> str:
        return (
            f"InferenceConfig(entry_script={self.entry_script!r}, source_directory={self.source_directory!r})"
        )

    def _environment(self, base_image: str | None, registry: ContainerRegistry | None) -> Environment:
        made = Environment("inference-env")
        if self.conda_file is not None:
            made.python.conda_dependencies = CondaDependencies(str(self._folder / self.conda_file))
        if base_image is not None:
            made.docker.base_image, made.inferencing_stack_version = base_image, "latest"
        if registry is not None:
            made.docker.base_image_registry = registry
        return made

    def _write(self, folder: Path) -> Path:
        """Write the configuration as an inferenceconfig.json with absolute paths, without a registry's login."""
        environment = self.environment._to_json()
        docker = dict(environment["docker"])  # type: ignore[call-overload]
        docker["baseImageRegistry"] = without_login(self.environment)
        python = dict(environment["python"])  # type: ignore[call-overload]
        file = python.get("condaDependenciesFile")
        if isinstance(file, str):
            python["condaDependenciesFile"] = str(self._folder / file)
        data = {
            "entryScript": str(self._folder / self.entry_script),
            "sourceDirectory": None if self.source_directory is None else str(self._folder),
            "environment": {**environment, "python": python, "docker": docker},
        }
        path = folder / CONFIG
        path.write_text(json.dumps(data, indent=2) + "\n", "utf-8")
        return path


def build_settings(
    config: Path | None,
    models: Sequence[ModelSource],
    flags: Mapping[str, Value | None],
    login: ContainerRegistry | None = None,
) -> BuildSettings:
    """The settings of a build from a written configuration, or for a model without one. `flags` are options by name.

    `login` is that of the base image's registry, which the written configuration leaves out.

    FNPACK_HOST, FNPACK_BASE_IMAGE, FNPACK_PLATFORM and the like count, unless a flag says otherwise. Raises
    ConfigurationError.
    """
    wanted = {OPTIONS[name].variable for name in _VARIABLES}
    variables = {name: value for name, value in os.environ.items() if name in wanted}
    values = {**flags, "inference_config": None if config is None else str(config)}
    raw = merge(ProjectSettings(), variables, values, cwd=Path.cwd())
    settings = complete(RawSettings(_used(raw.values), raw.cwd), models=models)
    environment = settings.app.environment
    known = environment.base_image_registry
    if known is not None and login is not None and login.username is not None:
        known = RegistryLogin(known.address, login.username, login.password)
    environment = environment._replace(base_image_registry=known)
    return settings._replace(app=settings.app._replace(environment=environment))


def _used(values: Mapping[str, Setting]) -> dict[str, Setting]:
    """Without a connection that no trigger of the call needs: it came from the environment."""
    settings = dict(values)
    trigger, connection = settings.get("trigger"), settings.get("connection")
    if (
        connection is not None
        and connection.rank < Rank.FLAG
        and (trigger is None or trigger.value == ("http",))
    ):
        del settings["connection"]
    return settings


def _refuse_old(
    runtime: str | None, steps: str | None, enable_gpu: bool | None, cuda_version: str | None
) -> None:
    if runtime is not None and runtime.casefold() not in _RUNTIMES:
        raise UserErrorException(
            f"the runtime `{runtime}` is not possible", hint='Python is the only one: "python"'
        )
    if steps is not None:
        raise UserErrorException(
            "extra_docker_file_steps are not run",
            hint="build an image with these steps first and name it: `environment.docker.base_image`",
        )
    if enable_gpu:
        raise UserErrorException("enable_gpu chooses no image here", hint=_GPU)
    if cuda_version is not None:
        raise UserErrorException("cuda_version chooses no image here", hint=_GPU)
