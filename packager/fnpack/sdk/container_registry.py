"""`ContainerRegistry`: the address of a registry of images, and a login that is never shown."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class ContainerRegistry:
    """A registry. Without a login the one of docker's own store counts (`docker login`)."""

    address: str | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)
