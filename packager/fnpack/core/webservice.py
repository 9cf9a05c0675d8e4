"""SDK v1's `azureml.core.webservice`. Of services in a cloud only the names are here; they say what to use instead."""

from __future__ import annotations

from fnpack.sdk.webservice import (
    AciWebservice,
    AksEndpoint,
    AksWebservice,
    LocalWebservice,
    LocalWebserviceDeploymentConfiguration,
    Webservice,
)

__all__ = [
    "AciWebservice",
    "AksEndpoint",
    "AksWebservice",
    "LocalWebservice",
    "LocalWebserviceDeploymentConfiguration",
    "Webservice",
]
