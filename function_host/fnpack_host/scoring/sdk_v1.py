"""The names that SDK v1 entry scripts import, for where the real packages are not installed.

A finder at the very end of `sys.meta_path` serves them, so that a real `azureml` package always wins.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TypeVar

from .request import Request as AMLRequest

F = TypeVar("F", bound=Callable[..., object])
_RAW = "_fnpack_raw"


def rawhttp(function: F) -> F:
    """Mark `run` as taking the request itself, with untouched bytes (SDK v1's decorator of this name)."""
    setattr(function, _RAW, True)
    return function


class AMLResponse:
    """A response with status and headers, in SDK v1's shape."""

    def __init__(
        self,
        message: object,
        status_code: int,
        response_headers: Mapping[str, str] | None = None,
        json_str: bool = False,
        run_function_failed: bool = False,
    ) -> None:
        self.status_code = status_code
        self.headers: dict[str, str] = dict(response_headers or {})
        if run_function_failed:
            self.headers["x-ms-run-function-failed"] = "True"
        self._body = _body(message, json_str)

    def get_data(self) -> bytes:
        """The body's bytes."""
        return self._body


class ModelNotFoundException(Exception):  # noqa: N818 - SDK v1's name
    """No model of that name is in the app."""


class Model:
    """`Model.get_model_path` as it works inside a scoring container."""

    @staticmethod
    def get_model_path(model_name: str, version: int | None = None, _workspace: object = None) -> str:
        """The path of the one file or folder of model `model_name`, of its latest version by default.

        Looks in `azureml-models/NAME/VERSION/` below AML_APP_ROOT, then for `./NAME`. Raises
        ModelNotFoundException where neither is there.
        """
        versions = Path(os.environ.get("AML_APP_ROOT", ".")) / "azureml-models" / model_name
        found = [int(p.name) for p in versions.iterdir() if p.name.isdigit()] if versions.is_dir() else []
        if found and (version is None or version in found):
            entries = list((versions / str(max(found) if version is None else version)).iterdir())
            if len(entries) == 1:
                return str(entries[0])
            raise ModelNotFoundException(
                f"the folder of model {model_name} holds {len(entries)} entries, not one"
            )
        if version is None and Path(model_name).exists():
            return model_name
        raise ModelNotFoundException(f"model {model_name} (version {version or 'latest'}) is not in this app")


def is_raw(function: object) -> bool:
    """Whether `run` asked for the request itself, by our decorator or by the real package's process-wide one."""
    if getattr(function, _RAW, False):
        return True
    real = (sys.modules.get(name) for name in _MODULES if name.endswith("aml_request"))
    return any(getattr(module, "_rawHttpRequested", False) for module in real if module is not None)


def schema_parameters(function: object) -> dict[str, bool]:
    """The parameters that `inference_schema` declares on `run`, each with whether it is required; {} for none."""
    util = sys.modules.get("inference_schema.schema_util")
    if util is None or not util.is_schema_decorated(function):
        return {}
    import inspect

    parameters = inspect.signature(inspect.unwrap(function)).parameters.values()  # type: ignore[arg-type]
    return {p.name: p.default is p.empty for p in parameters if p.name != "request_headers"}


def install() -> None:
    """Serve the SDK v1 names to later imports. Safe to call twice."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.append(_Finder())


def _body(message: object, json_str: bool) -> bytes:
    if message is None:
        return b"{}"
    if isinstance(message, bytes) and not json_str:
        return message
    if isinstance(message, str) and not json_str:
        return message.encode()
    return json.dumps(message).encode()


_REQUEST: dict[str, object] = {"AMLRequest": AMLRequest, "rawhttp": rawhttp}
_RESPONSE: dict[str, object] = {"AMLResponse": AMLResponse}
_MODULES: dict[str, dict[str, object]] = {
    "azureml": {},
    "azureml.contrib": {},
    "azureml.contrib.services": {},
    "azureml.contrib.services.aml_request": _REQUEST,
    "azureml.contrib.services.aml_response": _RESPONSE,
    "azureml.core": {"Model": Model},
    "azureml.core.model": {"Model": Model},
    "azureml.exceptions": {"ModelNotFoundException": ModelNotFoundException},
    "azureml_inference_server_http": {},
    "azureml_inference_server_http.api": {},
    "azureml_inference_server_http.api.aml_request": _REQUEST,
    "azureml_inference_server_http.api.aml_response": _RESPONSE,
}


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Asked only after every other finder has said no."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname not in _MODULES:
            return None
        return importlib.machinery.ModuleSpec(fullname, self, is_package=True)

    def exec_module(self, module: ModuleType) -> None:
        module.__dict__.update(_MODULES[module.__name__])
