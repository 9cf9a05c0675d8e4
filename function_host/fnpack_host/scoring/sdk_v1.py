"""The names that SDK v1 entry scripts import, for where the real packages are not installed.

A finder at the very end of `sys.meta_path` serves them, so that a real package always wins, module by module.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import TypeVar

F = TypeVar("F", bound=Callable[..., object])
_RAW = "_fnpack_raw"
_SERVER = "azureml_inference_server_http.api"
_raw_requested = False


def rawhttp(function: F) -> F:
    """Mark `run` as taking the request itself, with untouched bytes (SDK v1's decorator of this name)."""
    global _raw_requested
    _raw_requested = True
    setattr(function, _RAW, True)
    return function


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


def is_raw(function: object, *, strict: bool = False) -> bool:
    """Whether `run` asked for the request itself, by our decorator or by the real package's process-wide one.

    `strict`: whether any function of the process is decorated, which is what SDK v1's server went by.
    """
    if getattr(function, _RAW, False) or (strict and _raw_requested):
        return True
    real = (sys.modules.get(name) for name in _MODULES if name.endswith("aml_request"))
    return any(getattr(module, "_rawHttpRequested", False) for module in real if module is not None)


def install() -> None:
    """Serve the SDK v1 names to later imports. Safe to call twice."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.append(_Finder())


_OF_THIS_PACKAGE: dict[str, object] = {
    "rawhttp": rawhttp,
    "Model": Model,
    "ModelNotFoundException": ModelNotFoundException,
}
_PARAMETER_TYPES = "inference_schema.parameter_types"
# Module -> the names in it, each with the module that has it: one of this package (relative), or one of these here,
# which may be a real one. `None` is `sdk_v1` itself.
_MODULES: dict[str, dict[str, str | None]] = {
    "azureml": {},
    "azureml.core": {"Model": None},
    "azureml.core.model": {"Model": None},
    "azureml.exceptions": {"ModelNotFoundException": None},
    "azureml.contrib": {},
    "azureml.contrib.services": {},
    "azureml.contrib.services.aml_request": dict.fromkeys(
        ("AMLRequest", "rawhttp"), f"{_SERVER}.aml_request"
    ),
    "azureml.contrib.services.aml_response": {"AMLResponse": f"{_SERVER}.aml_response"},
    "azureml.monitoring": {"ModelDataCollector": ".collectors"},
    "azureml.ai": {},
    "azureml.ai.monitoring": {"Collector": ".collectors"},
    "azureml.ai.monitoring.collector": {"Collector": ".collectors"},
    "azureml.ai.monitoring.context": {
        "CorrelationContext": ".collectors",
        "BasicCorrelationContext": ".collectors",
    },
    "azureml_inference_server_http": {},
    _SERVER: {},
    f"{_SERVER}.aml_request": {"AMLRequest": ".request", "rawhttp": None},
    f"{_SERVER}.aml_response": {"AMLResponse": ".response"},
    "inference_schema": {},
    "inference_schema.schema_decorators": dict.fromkeys(("input_schema", "output_schema"), ".schema"),
    "inference_schema.schema_util": dict.fromkeys(
        ("is_schema_decorated", "get_input_schema", "get_output_schema", "get_supported_versions"), ".schema"
    ),
    _PARAMETER_TYPES: {},
    **{
        f"{_PARAMETER_TYPES}.{module}": {name: ".schema_types"}
        for module, name in (
            ("abstract_parameter_type", "AbstractParameterType"),
            ("numpy_parameter_type", "NumpyParameterType"),
            ("pandas_parameter_type", "PandasParameterType"),
            ("spark_parameter_type", "SparkParameterType"),
            ("standard_py_parameter_type", "StandardPythonParameterType"),
        )
    },
}
_OTHER_NAMES = {
    "AMLRequest": "Request",
    "BasicCorrelationContext": "CorrelationContext",
}  # what they are called here


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Asked only after every other finder has said no."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname not in _MODULES:
            return None
        return importlib.machinery.ModuleSpec(fullname, self, is_package=True)

    def exec_module(self, module: ModuleType) -> None:
        for name, source in _MODULES[module.__name__].items():
            setattr(module, name, _load(name, source))
        if module.__name__ == "inference_schema.schema_decorators":
            importlib.import_module("inference_schema.schema_util")  # there once a schema may be declared


def _load(name: str, source: str | None) -> object:
    """What `name` stands for, where a script has asked for the module that it is in."""
    if source is None:
        return _OF_THIS_PACKAGE[name]
    if source.startswith("."):
        found: object = getattr(importlib.import_module(source, __package__), _OTHER_NAMES.get(name, name))
        return found
    return getattr(importlib.import_module(source), name)
