"""SDK v1's `azureml.core.environment`."""

from __future__ import annotations

from fnpack.sdk.conda_dependencies import CondaDependencies
from fnpack.sdk.environment import DEFAULT_CPU_IMAGE, Environment
from fnpack.sdk.sections import DockerImagePlatform, DockerSection, PythonSection, SparkSection

__all__ = [
    "DEFAULT_CPU_IMAGE",
    "CondaDependencies",
    "DockerImagePlatform",
    "DockerSection",
    "Environment",
    "PythonSection",
    "SparkSection",
]
