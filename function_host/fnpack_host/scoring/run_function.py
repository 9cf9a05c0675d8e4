"""The script's `run`: what it wants to be called with, and calling it so."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from types import CodeType
from typing import cast

from . import schema_link
from .errors import BadInput, EntryScriptError, UnsupportedInput
from .request import Headers, Request
from .sdk_v1 import is_raw

Arguments = dict[str, object]
_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


class RunFunction:
    """`run`, which gets text, bytes, the request itself, or parameters out of a JSON object: as it asks.

    Raises EntryScriptError where it has a shape that cannot be called. `strict`: as SDK v1's server would.
    """

    def __init__(self, run: object, *, strict: bool = False) -> None:
        if not callable(run):
            raise EntryScriptError("`run` cannot be called")
        self.function = cast("Callable[..., object]", run)
        self.is_async = inspect.iscoroutinefunction(inspect.unwrap(run))
        self._strict = strict
        self._code: CodeType | None = getattr(inspect.unwrap(run), "__code__", None)
        parameters = list(_parameters(run))
        self._wants_headers = any(p.name == "request_headers" for p in parameters)
        self.inputs = tuple(p for p in parameters if p.name != "request_headers")
        if not self.inputs:
            raise EntryScriptError("`run` has no parameter for its input; write `def run(data):`")
        self._name = self.inputs[0].name
        self.has_schema = schema_link.is_decorated(run)
        self.is_raw = is_raw(run, strict=strict)
        if self.is_raw and self.has_schema:
            raise EntryScriptError("`run` has both @rawhttp and @input_schema; keep one of them")
        self._arguments = self._choose()

    def __call__(self, request: Request) -> object:
        """Call `run`; of an async one this is what has to be awaited. Raises BadInput, or what `run` raises."""
        arguments = self._arguments(request)
        if self._wants_headers:
            arguments["request_headers"] = Headers(request.headers)
        if not self.has_schema or self._strict:
            return self.function(**arguments)
        try:
            return self.function(**arguments)
        except Exception as error:
            if schema_link.is_conversion_fault(error, self._code):
                raise BadInput(f"the input does not fit the schema of `run`: {error}") from error
            raise

    def _choose(self) -> Callable[[Request], Arguments]:
        name = self._name
        if self.is_raw:
            return lambda request: {name: request}
        if self.has_schema:
            return self._from_object
        if not self._strict and self.inputs[0].annotation in (bytes, "bytes"):
            return lambda request: {
                name: request.text().encode() if request.method == "GET" else request.data
            }
        if self._strict:
            return lambda request: {name: "" if request.is_form else request.text()}
        return lambda request: {name: request.text()}

    def _from_object(self, request: Request) -> Arguments:
        """The parameters of a schema-decorated `run`, out of the JSON object or the query; others are left out."""
        given = self._object(request)
        if not isinstance(given, dict):
            raise BadInput(f"the body must be a JSON object with {_listed(p.name for p in self.inputs)}")
        missing = [p.name for p in self.inputs if p.default is p.empty and p.name not in given]
        if missing:
            raise BadInput(f"the input lacks {_listed(missing)}")
        return {p.name: given.get(p.name, p.default) for p in self.inputs}

    def _object(self, request: Request) -> object:
        if request.method == "GET":
            return request.query_values()
        is_foreign = not request.is_event and not request.is_json
        if is_foreign and self._strict:
            raise UnsupportedInput("the content type must be application/json")
        try:
            return request.get_json()
        except BadInput as error:
            if is_foreign and request.data and request.content_type:
                raise UnsupportedInput(
                    f"the body is not JSON, but {request.mimetype}; send JSON as application/json"
                ) from error
            raise


def _parameters(run: Callable[..., object]) -> Sequence[inspect.Parameter]:
    try:
        parameters = list(inspect.signature(run).parameters.values())
    except (TypeError, ValueError) as error:
        raise EntryScriptError(f"the parameters of `run` cannot be found out: {error}") from error
    for parameter in parameters:
        if parameter.kind not in _NAMED:
            mark = {"VAR_POSITIONAL": "*", "VAR_KEYWORD": "**"}.get(parameter.kind.name, "")
            what = f"`{mark}{parameter.name}`" if mark else f"the positional-only `{parameter.name}`"
            raise EntryScriptError(
                f"`run` has {what}, which no call can fill; write `def run(data):`, and use functools.wraps in a "
                "decorator of your own"
            )
    return parameters


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
