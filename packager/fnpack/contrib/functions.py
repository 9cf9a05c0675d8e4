"""SDK v1's `azureml.contrib.functions`: packages for HTTP, blob and Service Bus triggers."""

from __future__ import annotations

from fnpack.sdk.package import (
    BLOB_TRIGGER,
    HTTP_TRIGGER,
    SERVICE_BUS_QUEUE_TRIGGER,
    package,
    package_blob,
    package_http,
    package_service_bus_queue,
)

__all__ = [
    "BLOB_TRIGGER",
    "HTTP_TRIGGER",
    "SERVICE_BUS_QUEUE_TRIGGER",
    "package",
    "package_blob",
    "package_http",
    "package_service_bus_queue",
]
