"""The packager: turns a model, an entry script and an inference configuration into a function app and its image.

The names of the Python SDK are imported from `fnpack.sdk` when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fnpack.sdk.conda_dependencies import CondaDependencies
    from fnpack.sdk.container_registry import ContainerRegistry
    from fnpack.sdk.environment import Environment
    from fnpack.sdk.inference_config import InferenceConfig
    from fnpack.sdk.model import Model
    from fnpack.sdk.model_package import ModelPackage
    from fnpack.sdk.package import (
        BLOB_TRIGGER,
        HTTP_TRIGGER,
        SERVICE_BUS_QUEUE_TRIGGER,
        package,
        package_blob,
        package_http,
        package_service_bus_queue,
    )
    from fnpack.sdk.resource_configuration import ResourceConfiguration
    from fnpack.sdk.sections import DockerSection, PythonSection
    from fnpack.sdk.webservice import LocalWebservice, Webservice
    from fnpack.sdk.workspace import Workspace

__version__ = "0.1.0"
__all__ = [
    "BLOB_TRIGGER",
    "HTTP_TRIGGER",
    "SERVICE_BUS_QUEUE_TRIGGER",
    "CondaDependencies",
    "ContainerRegistry",
    "DockerSection",
    "Environment",
    "InferenceConfig",
    "LocalWebservice",
    "Model",
    "ModelPackage",
    "PythonSection",
    "ResourceConfiguration",
    "Webservice",
    "Workspace",
    "package",
    "package_blob",
    "package_http",
    "package_service_bus_queue",
]

_MODULES = {
    "BLOB_TRIGGER": "package",
    "HTTP_TRIGGER": "package",
    "SERVICE_BUS_QUEUE_TRIGGER": "package",
    "CondaDependencies": "conda_dependencies",
    "ContainerRegistry": "container_registry",
    "DockerSection": "sections",
    "Environment": "environment",
    "InferenceConfig": "inference_config",
    "LocalWebservice": "webservice",
    "Model": "model",
    "ModelPackage": "model_package",
    "PythonSection": "sections",
    "ResourceConfiguration": "resource_configuration",
    "Webservice": "webservice",
    "Workspace": "workspace",
    "package": "package",
    "package_blob": "package",
    "package_http": "package",
    "package_service_bus_queue": "package",
}


if not TYPE_CHECKING:  # for a type checker it would make every misspelt name one of the package's

    def __getattr__(name: str) -> object:
        if name not in _MODULES:
            raise AttributeError(f"module 'fnpack' has no attribute '{name}'")
        value = getattr(importlib.import_module(f"fnpack.sdk.{_MODULES[name]}"), name)
        globals()[name] = value
        return value
