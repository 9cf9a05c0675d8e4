"""SDK v1's `azureml.core.resource_configuration`."""

from __future__ import annotations

from fnpack.sdk.resource_configuration import ResourceConfiguration

__all__ = ["ResourceConfiguration"]
