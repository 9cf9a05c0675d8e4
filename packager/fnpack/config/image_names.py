"""The spelling of image names (`registry/name:tag@digest`); it asks no registry."""

from __future__ import annotations

import re

_HOST = r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:]+\])(?::[0-9]+)?"
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_TAG = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
DOCKER_HUB = "docker.io"
_HUB_NAMES = frozenset({DOCKER_HUB, "index.docker.io", "registry-1.docker.io"})
_IMAGE = re.compile(rf"(?:{_HOST}/)?{_PART}(?:/{_PART})*(?::{_TAG})?(?:@[a-z0-9]+:[0-9a-f]{{32,}})?")


def registry_of(image: str) -> str | None:
    """The registry in an image's name, or None if it names none (Docker Hub, then)."""
    first, slash, _ = image.partition("/")
    return first if slash and ("." in first or ":" in first or first == "localhost") else None


def registry_name(address: str) -> str:
    """One spelling for a registry's address: no scheme, no path, Docker Hub under one name."""
    host = address.split("://", 1)[-1].split("/", 1)[0].lower()
    return DOCKER_HUB if host in _HUB_NAMES else host


def fault_of_image(image: str) -> str | None:
    """Why a text is no image name, or None if it is one. The text is not repeated: it may hold a login."""
    if "://" in image:
        return "an image's name has no `https://`"
    if len(image) < 1000 and _IMAGE.fullmatch(image):
        return None
    registry = registry_of(image)
    rest = image.removeprefix(f"{registry}/") if registry else image
    name = rest.partition("@")[0].rpartition(":")[0] or rest.partition("@")[0]
    if name != name.lower() and _IMAGE.fullmatch(image.replace(name, name.lower())):
        return "an image's name is lower-case"
    return "this is not an image's name"
