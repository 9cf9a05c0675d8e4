"""The decorators of `inference_schema`, for where that library is not installed: same names, same meaning.

`input_schema` and `output_schema` say by a sample what `run` takes and gives; arguments are converted accordingly.
"""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar, cast

from .schema_samples import Schema
from .schema_types import VERSIONS, AbstractParameterType

F = TypeVar("F", bound=Callable[..., object])
_ATTRIBUTE = "_fnpack_schema"


@dataclass
class Declared:
    """What the decorators of one function declare."""

    inputs: dict[str, AbstractParameterType] = field(default_factory=dict)
    output: AbstractParameterType | None = None


def input_schema(
    param_name: str,
    param_type: AbstractParameterType,
    convert_to_provided_type: bool = True,
    optional: bool = False,
) -> Callable[[F], F]:
    """Declare a parameter of `run`. An `optional` one is left as it is where it is missing or empty."""
    _check(param_type)

    def decorate(function: F) -> F:
        names = list(inspect.signature(function).parameters)
        if param_name not in names:
            raise ValueError(f"input_schema names `{param_name}`, which is no parameter of {_name(function)}")
        _declared(function).inputs[param_name] = param_type

        @functools.wraps(function)
        def convert_first(*args: object, **kwargs: object) -> object:
            values = {**dict(zip(names, args, strict=False)), **kwargs}
            if convert_to_provided_type and not (optional and not values.get(param_name)):
                values[param_name] = convert(values.get(param_name), param_type)
            return function(**values)

        return cast("F", convert_first)

    return decorate


def output_schema(output_type: AbstractParameterType) -> Callable[[F], F]:
    """Declare what `run` returns; the value itself is not touched."""
    _check(output_type)

    def decorate(function: F) -> F:
        declared = _declared(function)
        if declared.output is not None:
            raise ValueError(f"{_name(function)} has two output schemas")
        declared.output = output_type
        return function

    return decorate


def convert(value: object, kind: AbstractParameterType) -> object:
    """`value` as `kind` wants it; in dicts and lists only what a parameter type was given for."""
    match kind.sample_input:
        case dict() as sample:
            if not isinstance(value, dict):
                raise TypeError(f"expected an object, got {type(value).__name__}")
            inner = {k: one for k, one in sample.items() if isinstance(one, AbstractParameterType)}
            return {k: convert(one, inner[k]) if k in inner else one for k, one in value.items()}
        case list() | tuple() as sample:
            if not isinstance(value, list | tuple):
                raise TypeError(f"expected an array, got {type(value).__name__}")
            item = next((one for one in sample if isinstance(one, AbstractParameterType)), None)
            return [convert(one, item) for one in value] if item is not None else value
    return value if isinstance(value, kind.sample_data_type) else kind.deserialize_input(value)


# --- what `inference_schema.schema_util` answers ---


def is_schema_decorated(func: object) -> bool:
    """Whether a schema is declared on the function."""
    return _found(func) is not None


def get_input_schema(func: object) -> Schema:
    """One object schema with the parameters as its properties, and an example.

    An undeclared parameter with a default is left out of the example: nothing is known that would be right for it.
    """
    declared = _found(func)
    if declared is None or not declared.inputs:
        return {"type": "object"}
    properties: dict[str, object] = {}
    example: dict[str, object] = {}
    for name, parameter in inspect.signature(cast("Callable[..., object]", func)).parameters.items():
        kind = declared.inputs.get(name)
        if kind is None and parameter.default is not parameter.empty:
            properties[name] = {}
            continue
        schema = copy.deepcopy(kind.input_to_swagger()) if kind is not None else {"example": ""}
        example[name] = schema.pop("example")
        properties[name] = schema
    return {"type": "object", "properties": properties, "example": example}


def get_output_schema(func: object) -> Schema:
    """The schema of the result."""
    declared = _found(func)
    if declared is None or declared.output is None:
        return {"type": "object"}
    return declared.output.input_to_swagger()


def get_supported_versions(func: object) -> list[str]:
    """The versions of OpenAPI that can hold every schema of the function."""
    declared = _found(func) or Declared()
    kinds = [*declared.inputs.values(), *([declared.output] if declared.output is not None else [])]
    return [version for version in VERSIONS if all(version in kind.supported_versions() for kind in kinds)]


def _found(function: object) -> Declared | None:
    base = inspect.unwrap(function) if callable(function) else function
    found = getattr(base, _ATTRIBUTE, None)
    return found if isinstance(found, Declared) else None


def _declared(function: Callable[..., object]) -> Declared:
    base = inspect.unwrap(function)
    found = _found(base)
    if found is None:
        found = Declared()
        setattr(base, _ATTRIBUTE, found)
    return found


def _check(kind: object) -> None:
    if not isinstance(kind, AbstractParameterType):
        raise TypeError(f"a schema is declared by a parameter type, not by a {type(kind).__name__}")


def _name(function: Callable[..., object]) -> str:
    return f"`{getattr(function, '__name__', 'run')}`"
