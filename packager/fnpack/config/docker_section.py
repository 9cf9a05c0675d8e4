"""The `environment.docker` section of an inference configuration: base image, its registry, platform."""

from __future__ import annotations

from typing import NamedTuple

from fnpack.config.image_names import fault_of_image, registry_of
from fnpack.config.section import Section
from fnpack.config.suggest import did_you_mean_or_list
from fnpack.spec import RegistryLogin

DOCKER_KEYS = (
    "enabled",
    "baseImage",
    "baseDockerfile",
    "buildContext",
    "baseImageRegistry",
    "platform",
    "sharedVolumes",
    "shmSize",
    "arguments",
)
_CONTEXT_KEYS = ("locationType", "location", "dockerfilePath")
_LOGIN_KEYS = ("address", "username", "password", "registryIdentity")
_BUILD_FIRST = "build that image first and name it in `baseImage`"
ARCHITECTURES = {"amd64": "amd64", "x86_64": "amd64", "x64": "amd64", "arm64": "arm64", "aarch64": "arm64"}


class DockerSection(NamedTuple):
    """`base_image` is complete: the registry's address is part of it. `platform` is `linux/amd64` style."""

    base_image: str | None = None
    login: RegistryLogin | None = None
    platform: str | None = None
    notes: tuple[str, ...] = ()


def read_docker(environment: Section) -> DockerSection:
    """Read the section. Problems go to the section's list."""
    section = environment.section("docker", DOCKER_KEYS)
    if section is None:
        return DockerSection()
    section.flag("enabled")
    section.flag("sharedVolumes")
    if section.text("baseDockerfile") is not None:
        section.problem("baseDockerfile", "a base image cannot be built on the way", _BUILD_FIRST)
    if section.section("buildContext", _CONTEXT_KEYS) is not None:
        section.problem("buildContext", "a base image cannot be built on the way", _BUILD_FIRST)
    image, login = section.text("baseImage"), _login(section)
    if image is not None:
        image = _complete_image(section, image, login)
    return DockerSection(image, login, _platform(section), _run_options(section))


def _login(docker: Section) -> RegistryLogin | None:
    section = docker.section("baseImageRegistry", _LOGIN_KEYS)
    if section is None:
        return None
    if section.mapping("registryIdentity") is not None:
        what = "a managed identity only works inside Azure"
        section.problem("registryIdentity", what, "use `username` and `password`, or log in with docker")
    address, username, password = (section.text(key) for key in ("address", "username", "password"))
    if address is None:
        if username is not None or password is not None:
            section.problem(
                "address", "the registry's address is missing", "for instance `registry.example.com`"
            )
        return None
    if (username is None) != (password is None):
        section.problem("", "`username` and `password` are only of use together", "give both or none")
    bare = address.removeprefix("https://").removeprefix("http://").rstrip("/")
    return RegistryLogin(bare, username, password)


def _complete_image(section: Section, image: str, login: RegistryLogin | None) -> str:
    """The image with the registry's address before it, as Azure ML combines them."""
    fault = fault_of_image(image)
    if fault:
        section.problem("baseImage", fault, "write `registry/name:tag`")
        return image
    if login is None or image.startswith(login.address + "/"):
        return image
    registry = registry_of(image)
    if registry is not None:
        what = f"the image is in `{registry}`, but `baseImageRegistry.address` is another registry"
        section.problem("baseImage", what, "make them the same, or remove `baseImageRegistry`")
        return image
    return f"{login.address}/{image}"


def _platform(docker: Section) -> str | None:
    section = docker.section("platform", ("os", "architecture"))
    if section is None:
        return None
    system, architecture = section.text("os"), section.text("architecture")
    if system is not None and system.casefold() != "linux":
        section.problem("os", "images are for Linux only", 'write `"Linux"`')
    if architecture is None:
        return None
    known = ARCHITECTURES.get(architecture.casefold())
    if known is None:
        section.problem(
            "architecture", "unknown architecture", did_you_mean_or_list(architecture, ("amd64", "arm64"))
        )
        return None
    return f"linux/{known}"


def _run_options(section: Section) -> tuple[str, ...]:
    """Notes on what belongs to the start of a container, not to the image."""
    notes = []
    size = section.text("shmSize")
    if size not in (None, "2g"):
        notes.append(f"docker.shmSize is not part of an image: give `--shm-size {size}` to `docker run`")
    if section.texts("arguments"):
        notes.append("docker.arguments are not part of an image: give them to `docker run`")
    return tuple(notes)
