"""SDK v1's `azureml.core.container_registry`."""

from __future__ import annotations

from fnpack.sdk.container_registry import ContainerRegistry

__all__ = ["ContainerRegistry"]
