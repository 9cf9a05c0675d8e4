"""SDK v1's `azureml.core.model`."""

from __future__ import annotations

from fnpack.sdk.inference_config import InferenceConfig
from fnpack.sdk.model import Model
from fnpack.sdk.model_package import ModelPackage

__all__ = ["InferenceConfig", "Model", "ModelPackage"]
