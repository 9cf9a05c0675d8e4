"""SDK v1's `azureml.core.conda_dependencies`."""

from __future__ import annotations

from fnpack.sdk.conda_dependencies import CondaDependencies

__all__ = ["CondaDependencies"]
