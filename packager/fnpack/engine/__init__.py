"""The Docker Engine as an image builder: BuildKit with build secrets over the Engine's HTTP API, no docker CLI.

It owns everything that talks to an Engine. It does not write Dockerfiles or contexts. The docker and h2 libraries
are imported when an Engine is first used.
"""

from __future__ import annotations

from fnpack.engine.base_image import BaseImage
from fnpack.engine.client import Engine
from fnpack.engine.errors import (
    BaseImageUnavailable,
    BaseImageWithoutPython,
    EngineMissing,
    ImageBuildFailed,
    PushFailed,
)

__all__ = [
    "BaseImage",
    "BaseImageUnavailable",
    "BaseImageWithoutPython",
    "Engine",
    "EngineMissing",
    "ImageBuildFailed",
    "PushFailed",
]
