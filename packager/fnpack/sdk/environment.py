"""`Environment`: what an entry script needs, by name, kept in a workspace by versions."""

from __future__ import annotations

import copy
import json
import os
import shutil
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from fnpack.config.registered import CONDA_FILE, DEFINITION, FOLDER
from fnpack.config.requirements import read_requirements
from fnpack.exceptions import UserErrorException
from fnpack.sdk.conda_dependencies import CondaDependencies
from fnpack.sdk.container_registry import ContainerRegistry
from fnpack.sdk.not_carried import not_carried_over
from fnpack.sdk.sections import DockerSection, PythonSection, SparkSection
from fnpack.sdk.workspace import Workspace

# In SDK v1 the names of Microsoft's images; here: the base image that fnpack chooses itself.
DEFAULT_CPU_IMAGE: str | None = None
DOCKERFILE = "BaseDockerfile"
_RESERVED = ("microsoft", "azureml")
_MINIMAL = "AzureML-Minimal"


class Environment:
    """Packages, Python version, base image and variables of an entry script."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.version: str | None = None
        self.environment_variables: dict[str, str] = {}
        self.python = PythonSection()
        self.docker = DockerSection()
        self.spark = SparkSection()
        self.databricks: Mapping[str, object] | None = None
        self.r: Mapping[str, object] | None = None
        self.inferencing_stack_version: str | None = None

    @staticmethod
    def from_conda_specification(name: str, file_path: str) -> Environment:
        """An environment with the packages of a conda YAML file."""
        made = Environment(name)
        made.python.conda_dependencies = CondaDependencies(file_path)
        return made

    @staticmethod
    def from_pip_requirements(name: str, file_path: str, pip_version: str | None = None) -> Environment:
        """An environment with the packages of a requirements file. The image brings its own pip."""
        found = read_requirements(Path(file_path))
        if found.constraints:
            raise UserErrorException(
                f"{file_path} names a constraints file (-c), which an Environment cannot hold",
                hint="write the limits as requirements of their own",
            )
        made = Environment(name)
        made.python.conda_dependencies = CondaDependencies.create(pip_packages=found.requirements)
        return made

    @staticmethod
    def from_docker_image(
        name: str,
        image: str,
        container_registry: ContainerRegistry | None = None,
        conda_specification: str | None = None,
        pip_requirements: str | None = None,
    ) -> Environment:
        """An environment on a base image. Without a file of packages, the image brings them all."""
        if conda_specification is not None and pip_requirements is not None:
            raise UserErrorException(
                "both conda_specification and pip_requirements are given", hint="keep one of them"
            )
        if conda_specification is not None:
            made = Environment.from_conda_specification(name, conda_specification)
        elif pip_requirements is not None:
            made = Environment.from_pip_requirements(name, pip_requirements)
        else:
            made = Environment(name)
            made.python.user_managed_dependencies = True
        made.docker.base_image = image
        if container_registry is not None:
            made.docker.base_image_registry = container_registry
        return made

    @staticmethod
    def from_dockerfile(
        name: str,
        dockerfile: str,
        conda_specification: str | None = None,
        pip_requirements: str | None = None,
    ) -> NoReturn:
        """Not carried over: an image is not built on the way."""
        not_carried_over(
            "Environment.from_dockerfile",
            "build that image first and name it: `Environment.from_docker_image`",
        )

    @staticmethod
    def from_docker_build_context(name: str, docker_build_context: object) -> NoReturn:
        """Not carried over: an image is not built on the way."""
        not_carried_over(
            "Environment.from_docker_build_context",
            "build that image first and name it: `Environment.from_docker_image`",
        )

    @staticmethod
    def from_existing_conda_environment(name: str, conda_environment_name: str) -> NoReturn:
        """Not carried over: it would copy this machine."""
        not_carried_over(
            "Environment.from_existing_conda_environment",
            "write its packages with `conda env export --from-history > environment.yml`, "
            "then `Environment.from_conda_specification`",
        )

    @staticmethod
    def add_private_pip_wheel(workspace: Workspace, file_path: str, exist_ok: bool = False) -> NoReturn:
        """Not carried over: wheels come from where pip finds them."""
        not_carried_over(
            "Environment.add_private_pip_wheel", "put the wheel into a folder and name that in PIP_FIND_LINKS"
        )

    @staticmethod
    def get(
        workspace: Workspace, name: str, version: str | None = None, label: str | None = None
    ) -> Environment:
        """A registered environment: the latest, or by version or label. Raises UserErrorException."""
        if version is not None and label is not None:
            raise UserErrorException("both version and label are given", hint="keep one of them")
        if name == _MINIMAL:
            minimal = Environment(_MINIMAL)
            minimal.python.conda_dependencies = CondaDependencies.create()
            return minimal
        if name.casefold().startswith(_RESERVED):
            raise UserErrorException(
                f"`{name}` is one of Azure ML's own environments, which are not here",
                hint="make an Environment with the packages that your script imports",
            )
        home = _home(workspace, name)
        if label is not None and label.casefold() != "latest":
            try:
                version = (home / "labels" / _safe(label)).read_text("utf-8").strip()
            except OSError:
                raise UserErrorException(f"environment `{name}` has no label `{label}`") from None
        versions = _versions(home)
        chosen = version or (str(versions[-1]) if versions else None)
        if chosen is None or not (home / _safe(chosen) / DEFINITION).is_file():
            what = f"`{name}`" if version is None else f"`{name}` in version {version}"
            known = ", ".join(sorted(Environment.list(workspace))) or "none"
            raise UserErrorException(
                f"the workspace has no environment {what}", hint=f"`register` it first; there are: {known}"
            )
        found = Environment.load_from_directory(str(home / _safe(chosen)))
        found.version = chosen
        return found

    @staticmethod
    def list(workspace: Workspace) -> dict[str, Environment]:
        """The latest version of each registered environment, by name."""
        root = workspace.path / FOLDER
        names = sorted(path.name for path in root.iterdir() if _versions(path)) if root.is_dir() else []
        return {name: Environment.get(workspace, name) for name in names}

    @staticmethod
    def label(workspace: Workspace, name: str, version: str, labels: Sequence[str]) -> None:
        """Give a version labels; a label that another version had moves."""
        Environment.get(workspace, name, version)
        folder = _home(workspace, name) / "labels"
        folder.mkdir(exist_ok=True)
        for label in labels:
            draft = folder / f".{uuid.uuid4().hex}"
            draft.write_text(f"{version}\n", "utf-8")
            draft.replace(folder / _safe(label))

    @staticmethod
    def load_from_directory(path: str) -> Environment:
        """The environment that `save_to_directory` wrote, SDK v1's too."""
        folder = Path(path)
        try:
            data = json.loads((folder / DEFINITION).read_text("utf-8-sig"))
        except (OSError, ValueError) as error:
            raise UserErrorException(
                f"{folder} holds no environment: {error}", hint=f"it has a file {DEFINITION}"
            ) from error
        if not isinstance(data, dict) or not isinstance(data.get("name"), str):
            raise UserErrorException(
                f"{folder / DEFINITION} is no environment", hint="it is an object with a `name`"
            )
        found = _from_json(data)
        if (folder / CONDA_FILE).is_file():
            found.python.conda_dependencies = CondaDependencies(str(folder / CONDA_FILE))
        if (folder / DOCKERFILE).is_file():
            found.docker.base_dockerfile = (folder / DOCKERFILE).read_text("utf-8") + "\n"
        return found

    def save_to_directory(self, path: str, overwrite: bool = False) -> None:
        """Write the environment to a folder that other programs can read. The login of a registry is left out."""
        folder = Path(path)
        if folder.exists() and not overwrite:
            raise UserErrorException(f"{folder} exists", hint="choose another folder, or overwrite=True")
        folder.mkdir(parents=True, exist_ok=True)
        data = self._to_json()
        conda, docker = self.python.conda_dependencies, dict(data["docker"])  # type: ignore[call-overload]
        python = dict(data["python"])  # type: ignore[call-overload]
        python.pop("condaDependencies")
        dockerfile = docker.pop("baseDockerfile")
        docker["baseImageRegistry"] = without_login(self)
        text = json.dumps({**data, "python": python, "docker": docker}, indent=4)
        (folder / DEFINITION).write_text(text + "\n", "utf-8")
        if self.python.conda_dependencies_file is None:
            (folder / CONDA_FILE).write_text(conda.serialize_to_string(), "utf-8")
        if dockerfile is not None:
            (folder / DOCKERFILE).write_text(dockerfile, "utf-8")

    def register(self, workspace: Workspace) -> Environment:
        """Keep the environment in the workspace, as a new version if it differs from the latest one."""
        if self.name.casefold().startswith(_RESERVED):
            raise UserErrorException(
                f"`{self.name}` is a name that Azure ML keeps for its own environments",
                hint="`clone` it under another name",
            )
        home = _home(workspace, self.name)
        home.mkdir(parents=True, exist_ok=True)
        while True:
            versions = _versions(home)
            if versions:
                latest = Environment.get(workspace, self.name, str(versions[-1]))
                if latest._comparable() == self._comparable():
                    return latest
            number = versions[-1] + 1 if versions else 1
            draft = home / f".{uuid.uuid4().hex}"
            made = copy.deepcopy(self)
            made.version = str(number)
            made.save_to_directory(str(draft))
            try:
                os.rename(draft, home / str(number))  # noqa: PTH104 - fails where another process was quicker
            except OSError:
                shutil.rmtree(draft, ignore_errors=True)
                if not (home / str(number)).is_dir():
                    raise
                continue
            return made

    def clone(self, new_name: str) -> Environment:
        """A copy under another name, not registered yet."""
        made = copy.deepcopy(self)
        made.name, made.version = new_name, None
        return made

    def build(self, workspace: Workspace, image_build_compute: object = None) -> NoReturn:
        """Not carried over: an environment is built as part of a package."""
        not_carried_over(
            "Environment.build", "`package(...)` builds script, models and environment as one image"
        )

    def build_local(self, workspace: Workspace, platform: object = None, **_unused: object) -> NoReturn:
        """Not carried over: an environment is built as part of a package."""
        not_carried_over(
            "Environment.build_local", "`package(...)` builds script, models and environment as one image"
        )

    def get_image_details(self, workspace: Workspace) -> NoReturn:
        """Not carried over: an environment has no image of its own."""
        not_carried_over(
            "Environment.get_image_details", "`package(...)` returns a ModelPackage with `location`"
        )

    def __repr__(self) -> str:
        return f"Environment(name={self.name!r}, version={self.version!r})"

    def _to_json(self) -> dict[str, object]:
        """The `environment` section of an inferenceconfig.json."""
        return {
            "name": self.name,
            "version": self.version,
            "environmentVariables": dict(self.environment_variables),
            "python": self.python._to_json(),
            "docker": self.docker._to_json(),
            "spark": self.spark._to_json(),
            "databricks": self.databricks,
            "r": self.r,
            "inferencingStackVersion": self.inferencing_stack_version,
        }

    def _comparable(self) -> str:
        data = self._to_json()
        docker = {**self.docker._to_json(), "baseImageRegistry": without_login(self)}
        return json.dumps({**data, "version": None, "docker": docker}, sort_keys=True)


def _from_json(data: Mapping[str, object]) -> Environment:
    found = Environment(str(data["name"]))
    version, stack = data.get("version"), data.get("inferencingStackVersion")
    found.version = None if version is None else str(version)
    found.inferencing_stack_version = None if stack is None else str(stack)
    variables = data.get("environmentVariables")
    if isinstance(variables, dict):
        found.environment_variables = {str(key): str(value) for key, value in variables.items()}
    for section, target in (("python", found.python), ("docker", found.docker), ("spark", found.spark)):
        part = data.get(section)
        if isinstance(part, Mapping):
            target._read(part)
    found.databricks = part if isinstance(part := data.get("databricks"), Mapping) else None
    found.r = part if isinstance(part := data.get("r"), Mapping) else None
    return found


def without_login(environment: Environment) -> dict[str, str] | None:
    """The registry of the base image without its login."""
    address = environment.docker.base_image_registry.address
    return None if address is None else {"address": address}


def _home(workspace: Workspace, name: str) -> Path:
    return workspace.path / FOLDER / _safe(name)


def _safe(name: str) -> str:
    if not name or name.startswith(".") or "/" in name or "\\" in name or "\0" in name or len(name) > 255:
        raise UserErrorException(f"`{name}` cannot be the name of an environment, a version or a label")
    return name


def _versions(home: Path) -> list[int]:
    return sorted(int(path.name) for path in home.iterdir() if path.name.isdecimal()) if home.is_dir() else []
