"""SDK v1's `azureml.core`: the same names in the same modules, so that `azureml` becomes `fnpack` in imports."""

from __future__ import annotations

import fnpack
from fnpack.sdk.container_registry import ContainerRegistry
from fnpack.sdk.environment import Environment
from fnpack.sdk.model import Model
from fnpack.sdk.webservice import Webservice
from fnpack.sdk.workspace import Workspace

VERSION = fnpack.__version__

__all__ = ["VERSION", "ContainerRegistry", "Environment", "Model", "Webservice", "Workspace"]
