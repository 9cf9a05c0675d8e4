"""Runs functions of any function app: data in through the library's converters, the call, data out again."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context
from dataclasses import dataclass

from fnpack_host.worker.context import InvocationContext, Out
from fnpack_host.worker.http_result import NO_CONTENT, Response, from_http_output, from_returned
from fnpack_host.worker.library import Datum, Library
from fnpack_host.worker.loader import UserFunction
from fnpack_host.worker.output import current
from fnpack_host.worker.protocol import Frame, Kind, encode
from fnpack_host.worker.scoring import failed
from fnpack_host.worker.signature import RETURN, Slot
from fnpack_host.worker.values import Value, pack, rest_of, unpack

DEFAULT_THREADS = (
    1000  # what Azure's v4 host sets where the app says nothing; threads start as they are needed
)


class FunctionError(Exception):
    """A function gave what its bindings cannot take."""


@dataclass(frozen=True, slots=True)
class _Call:
    """A call that has begun."""

    function: UserFunction
    frame: Frame
    outs: Mapping[str, Out]
    started: float

    @classmethod
    def begin(cls, function: UserFunction, frame: Frame) -> _Call:
        """Note whose log lines follow in this context."""
        current.set((function.name, str(frame.facts["invocation"])))
        outs = {name: Out() for name in function.signature.outputs}
        return cls(function, frame, outs, time.perf_counter())


class FunctionRunner:
    """The loaded functions of an app, by name. Async ones run on the loop, the others in threads."""

    def __init__(self, functions: Mapping[str, UserFunction], library: Library) -> None:
        self._functions, self._library = functions, library
        self._threads = ThreadPoolExecutor(thread_count(), thread_name_prefix="function")

    @property
    def names(self) -> frozenset[str]:
        """The functions that can be run."""
        return frozenset(self._functions)

    def submit(self, frame: Frame, answer: Callable[[list[bytes]], None]) -> bool:
        """Run a synchronous function in a thread, which then calls `answer`; False for an async one."""
        function = self._functions[str(frame.facts["function"])]
        if function.is_async:
            return False
        # A context of its own: what one call sets, the next one in this thread must not see.
        self._threads.submit(lambda: answer(Context().run(self._run_here, function, frame)))
        return True

    async def run(self, frame: Frame) -> list[bytes]:
        """Run an async function on the loop; returns the RESULT or FAILED frame to send."""
        function = self._functions[str(frame.facts["function"])]
        call = _Call.begin(function, frame)
        try:
            returned = await function.call(**self._arguments(call))  # type: ignore[misc]
            return self._finish(call, returned)
        except (Exception, SystemExit, asyncio.CancelledError) as error:
            return failed(frame, error)

    def _run_here(self, function: UserFunction, frame: Frame) -> list[bytes]:
        call = _Call.begin(function, frame)
        try:
            return self._finish(call, function.call(**self._arguments(call)))
        except BaseException as error:  # whatever it is, the caller waits for an answer
            return failed(frame, error)

    def _finish(self, call: _Call, returned: object) -> list[bytes]:
        facts, payload = self._results(call.function, returned, call.outs)
        facts["ms"] = round((time.perf_counter() - call.started) * 1000, 3)
        return encode(Kind.RESULT, call.frame.id, facts, payload)

    def _arguments(self, call: _Call) -> dict[str, object]:
        frame, signature = call.frame, call.function.signature
        arguments: dict[str, object] = dict(call.outs)
        for value in unpack(frame.facts.get("inputs"), frame.payload):
            if value.name in signature.inputs:
                arguments[value.name] = self._decode(signature.inputs[value.name], value, frame)
        if signature.wants_context:
            name, invocation = current.get()
            arguments["context"] = InvocationContext(
                name, call.function.directory, invocation, _facts(frame, "http"), _facts(frame, "retry")
            )
        return arguments

    def _decode(self, slot: Slot, value: Value, frame: Frame) -> object:
        if value.kind == "http":
            datum = self._library.http(
                _facts(frame, "http"), rest_of(frame.facts.get("inputs"), frame.payload)
            )
        else:
            datum = self._library.from_value(value)
        given = frame.facts.get("metadata")
        is_fed = slot.binding.is_trigger and slot.converter.has_trigger_support()
        metadata = self._library.metadata(given) if is_fed and isinstance(given, Mapping) else {}
        try:
            return slot.converter.decode(datum, trigger_metadata=metadata)
        except NotImplementedError:
            raise FunctionError(
                f"{slot.binding.name}: a {slot.binding.type} binding cannot take data of the kind {value.kind}"
            ) from None

    def _results(
        self, function: UserFunction, returned: object, outs: Mapping[str, Out]
    ) -> tuple[dict[str, object], bytes | memoryview]:
        signature = function.signature
        if returned is not None and signature.returns is None:
            raise FunctionError(
                f"function {function.name} without a $return binding returned a non-None value"
            )
        data: dict[str, Datum] = {}
        for name, out in outs.items():
            value = out.get()
            if value is not None and (datum := _encode(signature.outputs[name], value)) is not None:
                data[name] = datum
        result = _encode(signature.returns, returned) if signature.returns is not None else None
        if result is not None and signature.returns is not None and signature.returns.binding.name == RETURN:
            data[RETURN] = result
        response = _response(signature.http_output, data, result) if function.is_http else None
        values = [_value(n, datum) for n, datum in data.items() if n != signature.http_output]
        facts, payload = pack([v for v in values if v.kind != "none"], response.body if response else b"")
        return {"outputs": facts, **(response.facts() if response else {})}, payload


def _facts(frame: Frame, name: str) -> Mapping[str, object]:
    """What a frame says of its HTTP request or its retry; nothing where there is none."""
    found = frame.facts.get(name)
    return found if isinstance(found, Mapping) else {}


def thread_count() -> int:
    """How many synchronous calls may run at once: PYTHON_THREADPOOL_THREAD_COUNT, else Azure's default."""
    text = os.environ.get("PYTHON_THREADPOOL_THREAD_COUNT", "").strip()
    return int(text) if text.isdigit() and int(text) > 0 else DEFAULT_THREADS


def _response(http_output: str | None, data: Mapping[str, Datum], returned: Datum | None) -> Response:
    if http_output is not None and http_output in data:
        return from_http_output(data[http_output])
    return NO_CONTENT if http_output == RETURN else from_returned(returned)


def _encode(slot: Slot, value: object) -> Datum | None:
    try:
        return slot.converter.encode(value, expected_type=slot.pytype)
    except NotImplementedError:
        raise FunctionError(
            f"{slot.binding.name}: a {slot.binding.type} binding cannot take a {type(value).__name__}"
        ) from None


def _value(name: str, datum: Datum) -> Value:
    value = datum.value
    if value is None or datum.type is None:
        return Value(name, "none")
    if isinstance(value, bytes):
        return Value(name, "bytes", value)
    return Value(name, datum.type, str(value).encode())
