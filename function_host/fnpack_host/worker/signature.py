"""Compares a user's function with its bindings: which parameter is fed by which converter, and what does not fit.

The rules and their words are those of Azure's Python worker: one that loads there loads here, and the reverse.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import UnionType

from fnpack_host.worker.library import GENERIC, Converter, Library

RETURN = "$return"


class SignatureError(Exception):
    """The function and its bindings do not fit."""


@dataclass(frozen=True, slots=True)
class BindingFacts:
    """What the worker needs to know of a binding; `type` and `direction` are lower-cased."""

    name: str
    type: str
    direction: str
    data_type: str = ""

    @classmethod
    def read(cls, raw: Mapping[str, object]) -> BindingFacts:
        """From an entry of `bindings`, keys in any case."""
        values = {key.lower(): value for key, value in raw.items()}
        texts = (str(values.get(key) or "") for key in ("type", "direction", "datatype"))
        return cls(str(values.get("name", "")), *(text.lower() for text in texts))

    @property
    def is_trigger(self) -> bool:
        """Whether it starts the function."""
        return self.type.endswith("trigger")


@dataclass(frozen=True, slots=True)
class Slot:
    """A parameter, or the returned value: its binding, the converter and the annotated type."""

    binding: BindingFacts
    converter: Converter
    pytype: object = None


@dataclass(frozen=True, slots=True)
class Signature:
    """How to call a function. `returns` is None for one that must return nothing."""

    inputs: Mapping[str, Slot]
    outputs: Mapping[str, Slot]
    returns: Slot | None
    wants_context: bool

    @property
    def http_output(self) -> str | None:
        """The name of the binding that carries the HTTP response: a parameter or `$return`."""
        slots = {**self.outputs, **({RETURN: self.returns} if self.returns else {})}
        return next((name for name, slot in slots.items() if slot.binding.type == "http"), None)


def read_signature(
    function: Callable[..., object], bindings: Sequence[BindingFacts], library: Library
) -> Signature:
    """The signature of `function`. Raises SignatureError where it and its bindings do not fit."""
    bound = {binding.name: binding for binding in bindings}
    for binding in bindings:
        if binding.direction == "inout":
            raise SignatureError(f'binding {binding.name}: "inout" bindings are not supported')
    returned = bound.pop(RETURN, None)
    if returned is not None and returned.direction != "out":
        raise SignatureError(f'"{RETURN}" binding must have direction set to "out"')
    parameters = set(inspect.signature(function).parameters)
    hints = _hints(function)
    wants_context = "context" in parameters and "context" not in bound
    if wants_context:
        parameters.discard("context")
        _check_context(hints)
    if extra := sorted(parameters - set(bound)):
        raise SignatureError(
            f"the following parameters are declared in Python but not as bindings: {_names(extra)}"
        )
    if missing := sorted(set(bound) - parameters):
        raise SignatureError(
            f"the following parameters are declared as bindings but not in Python: {_names(missing)}"
        )
    slots = {name: _slot(binding, hints, library) for name, binding in bound.items()}
    return Signature(
        {name: slot for name, slot in slots.items() if slot.binding.direction != "out"},
        {name: slot for name, slot in slots.items() if slot.binding.direction == "out"},
        _returned(returned, list(bound.values()), hints, library),
        wants_context,
    )


def _names(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)


def _hints(function: Callable[..., object]) -> dict[str, object]:
    try:
        return typing.get_type_hints(function)
    except Exception as error:
        raise SignatureError(f"its annotations cannot be read: {type(error).__name__}: {error}") from error


def _check_context(hints: Mapping[str, object]) -> None:
    hint = hints.get("context")
    if "context" in hints and not (isinstance(hint, type) and hint.__name__ == "Context"):
        raise SignatureError(
            f'the "context" parameter is expected to be of type azure.functions.Context, got {hint!r}'
        )


def _slot(binding: BindingFacts, hints: Mapping[str, object], library: Library) -> Slot:
    if binding.name not in hints:
        return Slot(binding, library.converter(binding.type))
    hint = hints[binding.name]
    is_out = _is_out(hint)
    pytype = hint
    if is_out:
        arguments = typing.get_args(hint)
        if len(arguments) != 1:
            raise SignatureError(f"binding {binding.name} has invalid Out annotation {hint!r}")
        pytype = arguments[0]
    if not isinstance(pytype, type) and not _is_generic(pytype):
        raise SignatureError(f"binding {binding.name} has invalid non-type annotation {hint!r}")
    _check_direction(binding, is_out)
    plain = pytype in (str, bytes) and not library.may_return(binding.type)
    converter = GENERIC if plain else library.converter(binding.type)
    check = "check_output_type_annotation" if is_out else "check_input_type_annotation"
    if not _fits(converter, check, pytype):
        kind = f'"{binding.type}"' + (f' with dataType "{binding.data_type}"' if binding.data_type else "")
        raise SignatureError(
            f"type of {binding.name} binding {kind} does not match its Python annotation "
            f'"{_type_name(pytype)}"'
        )
    return Slot(binding, converter, pytype)


def _check_direction(binding: BindingFacts, is_out: bool) -> None:
    if binding.direction == "out" and not is_out:
        raise SignatureError(
            f'binding {binding.name} is declared to have the "out" direction, but its annotation in Python '
            "is not a subclass of azure.functions.Out"
        )
    if binding.direction != "out" and is_out:
        raise SignatureError(
            f'binding {binding.name} is declared to have the "in" direction, but its annotation in Python '
            "is azure.functions.Out"
        )


def _returned(
    binding: BindingFacts | None,
    others: Sequence[BindingFacts],
    hints: Mapping[str, object],
    library: Library,
) -> Slot | None:
    if binding is None:
        implicit = next((other for other in reversed(others) if library.may_return(other.type)), None)
        if implicit is None:
            return None
        return Slot(implicit, library.converter(implicit.type), hints.get("return"))
    converter = library.converter(binding.type)
    if "return" not in hints:
        return Slot(binding, converter)
    hint = hints["return"]
    if _is_out(hint):
        raise SignatureError("return annotation should not be azure.functions.Out")
    if not isinstance(hint, type):
        raise SignatureError(f"has invalid non-type return annotation {hint!r}")
    if not _fits(converter, "check_output_type_annotation", hint):
        raise SignatureError(
            f'Python return annotation "{_type_name(hint)}" does not match binding type "{binding.type}"'
        )
    return Slot(binding, converter, hint)


def _is_out(hint: object) -> bool:
    owner = typing.get_origin(hint) or hint
    return isinstance(owner, type) and owner.__name__ == "Out"


def _is_generic(hint: object) -> bool:
    return typing.get_origin(hint) not in (None, typing.Union, UnionType, typing.Literal, typing.ClassVar)


def _fits(converter: Converter, check: str, pytype: object) -> bool:
    """What the converter says; one that has no such direction, or cannot judge the type, says no."""
    try:
        return bool(getattr(converter, check)(pytype))
    except (AttributeError, TypeError):
        return False


def _type_name(pytype: object) -> str:
    return pytype.__name__ if isinstance(pytype, type) else str(pytype)
