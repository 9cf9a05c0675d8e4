"""The app's `azure.functions` library as the worker uses it: converters by binding type, and data on their way.

The library is the app's own where it ships one, else the host's. Source of the rules: the Python worker of Azure
Functions, which calls the same converters.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Protocol

from fnpack_host.worker.values import Value

# The library knows its converters by these spellings; a binding's type has none (it compares without case).
_SPELLINGS = (
    *("http", "httpTrigger", "blob", "blobTrigger", "queue", "queueTrigger", "timerTrigger", "warmupTrigger"),
    *("serviceBus", "serviceBusTrigger", "eventHub", "eventHubTrigger", "eventGrid", "eventGridTrigger"),
    *("cosmosDB", "cosmosDBTrigger", "kafka", "kafkaTrigger", "sql", "sqlTrigger", "mysql", "mysqlTrigger"),
    *("orchestrationTrigger", "activityTrigger", "entityTrigger", "durableClient", "orchestrationClient"),
)
_BY_TYPE = {spelling.lower(): spelling for spelling in _SPELLINGS}


class Datum(Protocol):
    """A value with its kind, on its way to or from a converter."""

    value: object
    type: str | None


class Converter(Protocol):
    """What the library has for a binding type. Some serve one direction only."""

    def has_trigger_support(self) -> bool:
        """Whether it takes a trigger's metadata."""

    def has_implicit_output(self) -> bool:
        """Whether a function with this binding may return a value without `$return`."""

    def check_input_type_annotation(self, pytype: object) -> bool:
        """Whether a parameter may be annotated so."""

    def check_output_type_annotation(self, pytype: object) -> bool:
        """Whether an output, or the returned value, may be annotated so."""

    def decode(self, data: object, *, trigger_metadata: object) -> object:
        """The value that user code gets."""

    def encode(self, obj: object, *, expected_type: object) -> Datum | None:
        """What user code has given. Raises NotImplementedError for a type that it cannot take."""


class LibraryMissingError(Exception):
    """Neither the app nor the host has azure-functions."""


class Library:
    """The imported `azure.functions`. Raises LibraryMissingError where there is none."""

    def __init__(self) -> None:
        try:
            functions = importlib.import_module("azure.functions")
            self._datum = importlib.import_module("azure.functions.meta").Datum
        except ModuleNotFoundError as error:
            if error.name not in ("azure", "azure.functions"):
                raise
            raise LibraryMissingError(
                "the package azure-functions is not installed: add it to the app's requirements.txt; "
                "to run the app without an image, pip install 'fnpack[functions]'"
            ) from error
        self._registry = functions.get_binding_registry()
        self.register_class: type = getattr(functions, "FunctionRegister", functions.FunctionApp)

    def converter(self, binding_type: str) -> Converter:
        """The converter of a binding type; the generic one where the library has none of its own."""
        found: Converter | None = self._registry.get(_BY_TYPE.get(binding_type.lower(), binding_type))
        return GENERIC if found is None else found

    def may_return(self, binding_type: str) -> bool:
        """Whether a function may return a value because it has a binding of this type."""
        found = self.converter(binding_type)
        if found is GENERIC:
            return binding_type.lower() != "durableclient"
        return getattr(found, "has_implicit_output", bool)()

    def datum(self, value: object, kind: str | None) -> object:
        """A datum for a converter."""
        datum: object = self._datum(value, kind)
        return datum

    def from_value(self, value: Value) -> object:
        """A datum from what a frame holds."""
        kind, data = value.kind, value.data
        match kind:
            case "none":
                return self.datum(None, None)
            case "bytes":
                return self.datum(data, kind)
            case "int":
                return self.datum(int(data), kind)
            case "double":
                return self.datum(float(data), kind)
            case "collection_string":
                return self.datum(
                    SimpleNamespace(string=[item.decode("utf-8") for item in value.items]), kind
                )
            case "collection_bytes":
                return self.datum(SimpleNamespace(bytes=value.items), kind)
            case _:
                return self.datum(data.decode("utf-8"), kind)

    def http(self, facts: Mapping[str, object], body: bytes) -> object:
        """The datum of an HTTP request; `facts` holds method, url, and the mappings headers, query and params."""
        value: dict[str, object] = {name: self.datum(facts[name], "string") for name in ("method", "url")}
        for name in ("headers", "query", "params"):
            texts = facts.get(name) or {}
            assert isinstance(texts, Mapping)
            value[name] = {key: self.datum(text, "string") for key, text in texts.items()}
        return self.datum({**value, "body": self.datum(body, "bytes")}, "http")

    def metadata(self, values: Mapping[str, object]) -> dict[str, object]:
        """A trigger's metadata as data: text as string, fractions as double, lists of a batch as collections.

        Everything else is JSON.
        """
        found: dict[str, object] = {}
        for name, value in values.items():
            if isinstance(value, str):
                found[name] = self.datum(value, "string")
            elif isinstance(value, float):
                found[name] = self.datum(value, "double")
            elif isinstance(value, list):
                found[name] = self.datum(_ListAndText(value), "collection_string")
            elif value is not None:
                found[name] = self.datum(json.dumps(value), "json")
        return found


class _ListAndText(str):
    """A list, for each message of a batch to take its own from, and its JSON, by which the library counts them.

    As JSON alone the library would read all of it again for each message and attribute.
    """

    string: list[object]

    def __new__(cls, value: list[object]) -> _ListAndText:
        self = super().__new__(cls, json.dumps(value))
        self.string = value
        return self


class _Sent:
    """A datum of the generic converter."""

    def __init__(self, value: object, kind: str | None) -> None:
        self.value, self.type = value, kind


class _Generic:
    """For bindings that the library does not know, and for parameters annotated `str` or `bytes`: the value as is."""

    def has_trigger_support(self) -> bool:
        return False

    def has_implicit_output(self) -> bool:
        return True

    def check_input_type_annotation(self, pytype: object) -> bool:
        return isinstance(pytype, type) and issubclass(pytype, (str, bytes))

    def check_output_type_annotation(self, pytype: object) -> bool:
        return isinstance(pytype, type) and issubclass(pytype, (str, bytes, bytearray))

    def decode(self, data: object, *, trigger_metadata: object) -> object:
        kind = getattr(data, "type", None)
        if kind not in (None, "string", "bytes", "json"):
            raise ValueError(f"a generic binding cannot take data of the kind {kind}")
        return getattr(data, "value", None)

    def encode(self, obj: object, *, expected_type: object) -> Datum:
        match obj:
            case None:
                return _Sent(None, None)
            case str():
                return _Sent(obj, "string")
            case bytes() | bytearray():
                return _Sent(bytes(obj), "bytes")
            case dict() | list():
                return _Sent(json.dumps(obj), "json")
            case int():
                return _Sent(int(obj), "int")
            case float():
                return _Sent(obj, "double")
            case _:
                raise NotImplementedError


GENERIC: Converter = _Generic()
