"""`package(...)` and its like: which trigger, with which options. Making the image is `model_package`'s."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fnpack.config.options import Value
from fnpack.exceptions import WebserviceException
from fnpack.sdk.inference_config import InferenceConfig
from fnpack.sdk.model import Model
from fnpack.sdk.model_package import ModelPackage, start
from fnpack.sdk.workspace import Workspace

HTTP_TRIGGER = "http"
BLOB_TRIGGER = "blob"
SERVICE_BUS_QUEUE_TRIGGER = "service_bus_queue"
# SDK v1's options of each trigger, and what a build calls them.
_OPTIONS: Mapping[str, Mapping[str, str]] = {
    HTTP_TRIGGER: {"auth_level": "auth_level"},
    BLOB_TRIGGER: {"input_path": "input_path", "output_path": "output_path"},
    SERVICE_BUS_QUEUE_TRIGGER: {"input_queue_name": "input_queue", "output_queue_name": "output_queue"},
}


def package(
    workspace: Workspace,
    models: Sequence[Model | str],
    inference_config: InferenceConfig | None = None,
    generate_dockerfile: bool = False,
    functions_enabled: bool = False,
    trigger: str | None = None,
    *,
    host: str | None = None,
    **kwargs: str | None,
) -> ModelPackage:
    """Build a function app's image; it goes on while this returns.

    Without an `inference_config` the one model is served by the built-in script for it.

    `trigger` is HTTP_TRIGGER, BLOB_TRIGGER or SERVICE_BUS_QUEUE_TRIGGER, `kwargs` are its options (see
    `package_blob` and so on). Without `functions_enabled` the image scores plain HTTP requests, as `Model.package`.
    `host` is `fnpack` or `azure-functions`, by default what FNPACK_HOST says, else `fnpack`. Raises
    WebserviceException for unknown triggers and options, and ConfigurationError for all else that cannot be built.
    """
    if not functions_enabled:
        if trigger is not None or kwargs:
            print("Note: trigger and its options are not used, because functions_enabled is not set")
        return package_image(workspace, models, inference_config, generate_dockerfile)
    if trigger is None or trigger not in _OPTIONS:
        named = ", ".join(_OPTIONS)
        what = "no trigger is given" if trigger is None else f"there is no trigger `{trigger}`"
        raise WebserviceException(f"{what}; it is one of {named}")
    unknown = sorted(set(kwargs) - set(_OPTIONS[trigger]))
    if unknown:
        known = ", ".join(_OPTIONS[trigger])
        raise WebserviceException(
            f"{', '.join(unknown)}: no option of the trigger `{trigger}`, whose options are {known}"
        )
    flags: dict[str, Value | None] = {_OPTIONS[trigger][name]: value for name, value in kwargs.items()}
    flags |= {"trigger": (trigger,), "host": host}
    return start(workspace, models, inference_config, flags, generate_dockerfile=generate_dockerfile)


def package_http(
    workspace: Workspace,
    models: Sequence[Model | str],
    inference_config: InferenceConfig | None = None,
    generate_dockerfile: bool = False,
    auth_level: str | None = None,
) -> ModelPackage:
    """A function that scores HTTP requests. `auth_level` is anonymous, function (the default) or admin."""
    return package(
        workspace,
        models,
        inference_config,
        generate_dockerfile,
        functions_enabled=True,
        trigger=HTTP_TRIGGER,
        auth_level=auth_level,
    )


def package_blob(
    workspace: Workspace,
    models: Sequence[Model | str],
    inference_config: InferenceConfig | None = None,
    generate_dockerfile: bool = False,
    input_path: str | None = None,
    output_path: str | None = None,
) -> ModelPackage:
    """A function that scores blobs: `input/{blobname}.json` to `output/{blobname}_out.json` by default."""
    return package(
        workspace,
        models,
        inference_config,
        generate_dockerfile,
        functions_enabled=True,
        trigger=BLOB_TRIGGER,
        input_path=input_path,
        output_path=output_path,
    )


def package_service_bus_queue(
    workspace: Workspace,
    models: Sequence[Model | str],
    inference_config: InferenceConfig | None = None,
    generate_dockerfile: bool = False,
    input_queue_name: str | None = None,
    output_queue_name: str | None = None,
) -> ModelPackage:
    """A function that scores messages of a Service Bus queue and sends the results to another."""
    return package(
        workspace,
        models,
        inference_config,
        generate_dockerfile,
        functions_enabled=True,
        trigger=SERVICE_BUS_QUEUE_TRIGGER,
        input_queue_name=input_queue_name,
        output_queue_name=output_queue_name,
    )


def package_image(
    workspace: Workspace,
    models: Sequence[Model | str],
    inference_config: InferenceConfig | None = None,
    generate_dockerfile: bool = False,
    *,
    name: str | None = None,
    label: str | None = None,
) -> ModelPackage:
    """An image that scores plain HTTP requests without a key."""
    flags: dict[str, Value | None] = {"trigger": (HTTP_TRIGGER,), "auth_level": "anonymous"}
    return start(
        workspace,
        models,
        inference_config,
        flags,
        generate_dockerfile=generate_dockerfile,
        name=name,
        label=label,
    )
