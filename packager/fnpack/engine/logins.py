"""Who we are to a registry: logins the caller gave, else docker's own configuration and credential helpers."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypedDict, cast

from fnpack.config import image_names
from fnpack.config.image_names import DOCKER_HUB, registry_name
from fnpack.spec import RegistryLogin

if TYPE_CHECKING:
    from docker.api.client import APIClient


class AuthConfig(TypedDict, total=False):
    """What the Engine's X-Registry-Auth header holds. An empty one means anonymous."""

    username: str
    password: str
    identitytoken: str
    serveraddress: str


def registry_of(reference: str) -> str:
    """The registry that an image reference names: `docker.io` when it names none."""
    return registry_name(image_names.registry_of(reference) or DOCKER_HUB)


def login_for(api: APIClient, registry: str, logins: Sequence[RegistryLogin]) -> AuthConfig:
    """The login to use with `registry`; empty when there is none. Never log what this returns."""
    wanted = registry_name(registry)
    for login in logins:
        if registry_name(login.address) == wanted and login.username and login.password is not None:
            return {"username": login.username, "password": login.password, "serveraddress": login.address}
    return _from_docker_config(api, wanted)


def _from_docker_config(api: APIClient, registry: str) -> AuthConfig:
    from docker.auth import load_config
    from docker.errors import DockerException

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # docker-py warns of a missing credential helper before it raises
            found = load_config(credstore_env=api.credstore_env).resolve_authconfig(registry)
    except (DockerException, OSError, ValueError):
        # A credential helper that is missing or locked must not stop an anonymous pull; a registry that wants a
        # login says so, and its hint names `docker login`.
        return {}
    # docker-py spells the keys in lower case for `auths` and capitalised for credential helpers.
    lowered = {
        key.lower(): value for key, value in cast("Mapping[str, str | None]", found or {}).items() if value
    }
    return cast("AuthConfig", {key: lowered[key] for key in AuthConfig.__annotations__ if key in lowered})
