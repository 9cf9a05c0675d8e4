"""The sections of an `Environment`, in SDK v1's names, and their form in `inferenceconfig.json`."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from fnpack.exceptions import UserErrorException
from fnpack.sdk.conda_dependencies import CondaDependencies
from fnpack.sdk.container_registry import ContainerRegistry

log = logging.getLogger("fnpack.sdk")
Json = Mapping[str, object]


class _Readable(Protocol):
    def read(self) -> str: ...


class PythonSection:
    """Which packages, which Python."""

    def __init__(self) -> None:
        self.user_managed_dependencies = False
        self.interpreter_path = "python"
        self.conda_dependencies_file: str | None = None
        self.base_conda_environment: str | None = None
        self.conda_dependencies = CondaDependencies()

    def _to_json(self) -> dict[str, object]:
        inline = self.conda_dependencies
        only_file = self.conda_dependencies_file is not None or self.user_managed_dependencies
        return {
            "userManagedDependencies": self.user_managed_dependencies,
            "interpreterPath": self.interpreter_path,
            "condaDependenciesFile": self.conda_dependencies_file,
            "baseCondaEnvironment": self.base_conda_environment,
            "condaDependencies": None if only_file else inline.as_dict(),
        }

    def _read(self, data: Json) -> None:
        self.user_managed_dependencies = data.get("userManagedDependencies") is True
        self.interpreter_path = _text(data, "interpreterPath") or "python"
        self.conda_dependencies_file = _text(data, "condaDependenciesFile")
        self.base_conda_environment = _text(data, "baseCondaEnvironment")
        inline = data.get("condaDependencies")
        if isinstance(inline, Mapping):
            self.conda_dependencies = CondaDependencies(_underlying_structure=inline)


class DockerImagePlatform:
    """For which machines the image is."""

    def __init__(self) -> None:
        self.os = "Linux"
        self.architecture = "amd64"


class DockerSection:
    """On which image the environment is built. Of `base_image` and `base_dockerfile` one can be set."""

    def __init__(self) -> None:
        self.enabled = False
        self.base_image_registry = ContainerRegistry()
        self.platform: DockerImagePlatform | None = None
        self.shared_volumes = True
        self.shm_size: str | None = "2g"
        self.arguments: Sequence[str] = []
        self.gpu_support = False
        self._base_image: str | None = None
        self._base_dockerfile: str | None = None

    @property
    def base_image(self) -> str | None:
        """The image; None: fnpack's default for the Python version."""
        return self._base_image

    @base_image.setter
    def base_image(self, value: str | None) -> None:
        if value is not None and self._base_dockerfile is not None:
            log.warning("base_image is set, so base_dockerfile is removed")
            self._base_dockerfile = None
        self._base_image = value

    @property
    def base_dockerfile(self) -> str | None:
        """A Dockerfile's text. A package refuses it: build that image first and name it in `base_image`."""
        return self._base_dockerfile

    @base_dockerfile.setter
    def base_dockerfile(self, value: str | Path | _Readable | None) -> None:
        if value is not None and self._base_image is not None:
            log.warning("base_dockerfile is set, so base_image is removed")
            self._base_image = None
        self._base_dockerfile = _dockerfile(value)

    def _to_json(self) -> dict[str, object]:
        registry = self.base_image_registry
        login = {"address": registry.address, "username": registry.username, "password": registry.password}
        platform = self.platform
        return {
            "enabled": self.enabled,
            "baseImage": self.base_image,
            "baseDockerfile": self.base_dockerfile,
            "baseImageRegistry": login if any(login.values()) else None,
            "platform": None
            if platform is None
            else {"os": platform.os, "architecture": platform.architecture},
            "sharedVolumes": self.shared_volumes,
            "shmSize": self.shm_size,
            "arguments": list(self.arguments),
        }

    def _read(self, data: Json) -> None:
        self.enabled = data.get("enabled") is True
        self._base_image, self._base_dockerfile = _text(data, "baseImage"), _text(data, "baseDockerfile")
        login = data.get("baseImageRegistry")
        if isinstance(login, Mapping):
            keys = ("address", "username", "password")
            self.base_image_registry = ContainerRegistry(*(_text(login, key) for key in keys))
        platform = data.get("platform")
        if isinstance(platform, Mapping):
            self.platform = DockerImagePlatform()
            self.platform.os = _text(platform, "os") or "Linux"
            self.platform.architecture = _text(platform, "architecture") or "amd64"
        self.shared_volumes = data.get("sharedVolumes") is not False
        self.shm_size = _text(data, "shmSize")
        arguments = data.get("arguments")
        self.arguments = [str(argument) for argument in arguments] if isinstance(arguments, list) else []


class SparkSection:
    """Kept so that scripts which set its defaults go on to work; anything else a package refuses."""

    def __init__(self) -> None:
        self.repositories: list[str] = []
        self.packages: list[object] = []
        self.precache_packages = True

    def _to_json(self) -> dict[str, object]:
        # Whether packages are fetched beforehand means nothing where there are none.
        return {"repositories": self.repositories, "packages": self.packages}

    def _read(self, data: Json) -> None:
        repositories, packages = data.get("repositories"), data.get("packages")
        self.repositories = [str(one) for one in repositories] if isinstance(repositories, list) else []
        self.packages = list(packages) if isinstance(packages, list) else []
        self.precache_packages = data.get("precachePackages") is not False


def _text(data: Json, key: str) -> str | None:
    value = data.get(key)
    return value if isinstance(value, str) and value else None


def _dockerfile(value: str | Path | _Readable | None) -> str | None:
    if value is None:
        return None
    if not isinstance(value, (str, Path)):
        return value.read()
    is_path = isinstance(value, Path) or ("\n" not in value and not value.upper().startswith("FROM "))
    if not is_path:
        return str(value)
    try:
        return Path(value).read_text("utf-8")
    except OSError as error:
        raise UserErrorException(
            f"the Dockerfile {value} cannot be read: {error.strerror}", hint="give its text or its path"
        ) from error
