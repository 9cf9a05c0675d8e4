"""Runs one function for one event: inputs, worker, every output binding, and only then is the event done."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fnpack_host.app.function_app import Function
from fnpack_host.trigger_data import http_data, query_values, text_or_bytes, trigger_value
from fnpack_host.wiring import Wiring
from fnpack_host.worker.protocol import Frame
from fnpack_host.worker.values import Value, pack, rest_of, unpack
from fnpack_host.workers.pool import WorkerPool
from fnpack_host.workers.process import Call, InvocationError, WorkerLost
from fnpack_triggers.base import Event, InvocationFailed, Json
from fnpack_triggers.errors import FnpackError

log = logging.getLogger("fnpack.host.invocation")

PARENT = "InvocationId"  # what an output binding notes as the origin of what it writes
BYTES = "application/octet-stream"

_random: list[str] = []  # hex digits for the next ids


@dataclass(slots=True)  # not frozen: that would treble the time it takes to make one
class HttpCall:
    """What an HTTP trigger hands to the function."""

    method: str
    url: str
    headers: Mapping[str, str]  # names in lower case
    body: bytes | memoryview  # a large one is a view of a file
    params: Mapping[str, str] = field(default_factory=dict)  # route values
    query: Mapping[str, str] | None = None  # None: what the URL says
    text_as_json: bool = False  # an entry script's text is encoded as JSON, as SDK v1 did


@dataclass(frozen=True, slots=True)
class Retry:
    """Which repeat of an event this is, how many there may be (-1: no bound), and why the one before failed."""

    count: int
    maximum: int
    failure: str

    @property
    def facts(self) -> dict[str, object]:
        """What the worker is told."""
        return {"count": self.count, "max": self.maximum, "error": self.failure}


class Invoker:
    """Runs functions of one app in its workers and writes their outputs."""

    def __init__(self, pool: WorkerPool, wiring: Wiring) -> None:
        self._pool, self._wiring = pool, wiring

    async def answer(self, function: Function, call: HttpCall) -> Frame:
        """Run an HTTP function; the RESULT frame is the response. Raises InvocationError or WorkerLost."""
        invocation = new_invocation_id()
        started = time.monotonic()
        try:
            if function.error is not None:
                raise InvocationError(f"the function could not be loaded: {function.error}")
            if function.is_scoring:
                frame = await self._pool.call(
                    function.name, _scoring_facts(function, invocation, call), call.body
                )
                if "outputs" in frame.facts:
                    frame = await self._write_beside_answer(function, frame, call)
            else:
                frame = await self._answer(function, invocation, call)
        except (InvocationError, WorkerLost) as error:
            _log_end(function, invocation, f"{call.method} request", started, str(error))
            raise
        _log_answer(function, invocation, call, started, frame)
        return frame

    def is_direct(self, function: Function) -> bool:
        """Whether `start` can run the function: there is nothing to read before, nor to write but its answer."""
        is_alone = not function.inputs and not self._wiring.outputs.get(function.name)
        return function.error is None and is_alone

    def start(self, function: Function, call: HttpCall, done: Callable[[Frame | None], None]) -> None:
        """`answer` without a task, which would cost a third of a small call; `done` gets None for a failure."""
        invocation = new_invocation_id()
        ending = _Ending(function, invocation, call, done)
        if function.is_scoring:
            facts, payload = _scoring_facts(function, invocation, call), call.body
        else:
            values = [Value(function.trigger.name, "http")]
            facts, payload = _facts(function, invocation, values, {"http": _http_facts(call)}, call.body)
        self._pool.submit(Call(function.name, facts, payload, ending))

    async def openapi(self, function: Function, version: str, *, has_keys: bool) -> Frame:
        """The API document of a scoring function, of a version of OpenAPI. Raises InvocationError or WorkerLost."""
        facts = {
            "function": function.name,
            "invocation": new_invocation_id(),
            "openapi": version,
            "has_keys": has_keys,
        }
        return await self._pool.call(function.name, facts, b"")

    async def deliver(self, function: Function, event: Event, retry: Retry | None = None) -> None:
        """Run a function for a blob, message or timer and return once its outputs are durable.

        Raises InvocationFailed, already logged, when the function, its worker or an output failed.
        """
        invocation = new_invocation_id()
        started = time.monotonic()
        try:
            if function.is_scoring:
                facts = {"function": function.name, "invocation": invocation}
                frame = await self._pool.call(function.name, facts, event.payload)
                written = await self._write_scored(function, frame, event.data)
            else:
                written = await self._deliver(function, invocation, event, retry)
        except (InvocationError, WorkerLost, FnpackError) as error:
            _log_end(function, invocation, f"{event.source} (attempt {event.attempt})", started, str(error))
            raise InvocationFailed(str(error)) from error
        _log_end(
            function, invocation, f"{event.source} -> {written}" if written else event.source, started, None
        )

    async def _answer(self, function: Function, invocation: str, call: HttpCall) -> Frame:
        http = _http_facts(call)
        data: dict[str, Json] = {}
        if function.inputs or function.outputs:
            data = {**http_data(http["query"], call.headers, call.params, call.body), PARENT: invocation}
        try:
            values = [Value(function.trigger.name, "http"), *await self._inputs(function, data)]
            frame = await self._call(function, invocation, values, {"http": http}, call.body)
            await self._write(function, frame, data)
        except FnpackError as error:
            raise InvocationError(str(error)) from error
        return Frame(frame.kind, frame.id, frame.facts, rest_of(frame.facts.get("outputs"), frame.payload))

    async def _deliver(self, function: Function, invocation: str, event: Event, retry: Retry | None) -> str:
        data = {**event.data, PARENT: invocation}
        values = [trigger_value(function.trigger, event), *await self._inputs(function, data)]
        told = {} if retry is None else {"retry": retry.facts}
        frame = await self._call(function, invocation, values, {"metadata": event.data, **told})
        return ", ".join(await self._write(function, frame, data))

    async def _call(
        self,
        function: Function,
        invocation: str,
        values: Sequence[Value],
        extra: Mapping[str, object],
        body: bytes | memoryview = b"",
    ) -> Frame:
        facts, payload = _facts(function, invocation, values, extra, body)
        return await self._pool.call(function.name, facts, payload)

    async def _inputs(self, function: Function, data: Mapping[str, Json]) -> list[Value]:
        if not function.inputs:
            return []
        readers = self._wiring.inputs[function.name]
        found = await asyncio.gather(*(readers[binding.name].read(data) for binding in function.inputs))
        return [
            Value(binding.name, "none") if content is None else text_or_bytes(binding, content)
            for binding, content in zip(function.inputs, found, strict=True)
        ]

    async def _write(self, function: Function, frame: Frame, data: Mapping[str, Json]) -> list[str]:
        """Write all outputs at once, and wait for all: what a failed one leaves behind, a retry overwrites."""
        outputs = self._wiring.outputs.get(function.name, {})
        writes = [
            outputs[value.name].write(value.data, data, content_type=BYTES if value.kind == "bytes" else "")
            for value in unpack(frame.facts.get("outputs"), frame.payload)
            if value.name in outputs
        ]
        return await _all(writes)

    async def _write_scored(self, function: Function, frame: Frame, data: Mapping[str, Json]) -> str:
        """Write what an entry script gave: its result to the first output, what it named to the others."""
        outputs = self._wiring.outputs.get(function.name, {})
        if "outputs" not in frame.facts:
            for output in outputs.values():
                return await output.write(frame.payload, data, content_type=str(frame.facts.get("type", "")))
            return ""
        first = next(iter(outputs), "")
        main = {first: rest_of(frame.facts["outputs"], frame.payload)} if first else {}
        return ", ".join(await self._write_named(function, frame, data, main))

    async def _write_beside_answer(self, function: Function, frame: Frame, call: HttpCall) -> Frame:
        """Write the outputs that an entry script named; returns the frame of the answer alone."""
        query = query_values(call.url) if call.query is None else call.query
        data = http_data(query, call.headers, call.params, call.body)
        try:
            await self._write_named(function, frame, data, {})
        except FnpackError as error:
            raise InvocationError(str(error)) from error
        return Frame(frame.kind, frame.id, frame.facts, rest_of(frame.facts["outputs"], frame.payload))

    async def _write_named(
        self, function: Function, frame: Frame, data: Mapping[str, Json], main: Mapping[str, bytes]
    ) -> list[str]:
        outputs = self._wiring.outputs.get(function.name, {})
        named = {value.name: value.data for value in unpack(frame.facts["outputs"], frame.payload)}
        free = [name for name in outputs if name not in main]
        if any(name not in free for name in named):
            raise InvocationError(_no_such_output(frame, free))
        types = frame.facts.get("types")
        types = {**(types if isinstance(types, dict) else {}), **dict.fromkeys(main, frame.facts.get("type"))}
        # As text, a JSON array would be taken apart: an output of an entry script is one message.
        types |= {binding.name: BYTES for binding in function.outputs if binding.type == "queue"}
        writes = [
            outputs[name].write(content, data, content_type=str(types.get(name) or ""))
            for name, content in {**main, **named}.items()
        ]
        return await _all(writes)


class _Ending:
    """Waits for the end of a call that `Invoker.start` began."""

    __slots__ = ("_call", "_done", "_function", "_invocation", "_is_done", "_started")

    def __init__(
        self, function: Function, invocation: str, call: HttpCall, done: Callable[[Frame | None], None]
    ) -> None:
        self._function, self._invocation = function, invocation
        self._call, self._done, self._is_done = call, done, False
        self._started = time.monotonic()

    def done(self) -> bool:
        """Whether the end came."""
        return self._is_done

    def set_result(self, frame: Frame) -> None:
        """Pass the answer on. A script that names an output has failed, as there is none; a function may name it."""
        if "outputs" in frame.facts:
            if self._function.is_scoring:
                self.set_exception(InvocationError(_no_such_output(frame, [])))
                return
            frame = frame._replace(payload=rest_of(frame.facts["outputs"], frame.payload))
        self._is_done = True
        _log_answer(self._function, self._invocation, self._call, self._started, frame)
        self._done(frame)

    def set_exception(self, error: InvocationError | WorkerLost) -> None:
        """Log the failure."""
        self._is_done = True
        _log_end(self._function, self._invocation, f"{self._call.method} request", self._started, str(error))
        self._done(None)


async def _all(writes: Iterable[Awaitable[str]]) -> list[str]:
    """Wait for all; raises what the first that failed raised."""
    results = await asyncio.gather(*writes, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return [str(result) for result in results]


def new_invocation_id() -> str:
    """A random UUID as text. The bytes are drawn 256 ids at a time, since each draw is a system call."""
    if not _random:
        drawn = os.urandom(16 * 256).hex()
        _random.extend(drawn[at : at + 32] for at in range(0, len(drawn), 32))
    text = _random.pop()
    variant = "89ab"[int(text[16], 16) & 3]
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-{variant}{text[17:20]}-{text[20:]}"


def _facts(
    function: Function,
    invocation: str,
    values: Sequence[Value],
    extra: Mapping[str, object],
    body: bytes | memoryview,
) -> tuple[dict[str, object], bytes | memoryview]:
    """Facts and payload of a call through the converters of `azure.functions`."""
    inputs, payload = pack(values, body)
    return {"function": function.name, "invocation": invocation, "inputs": inputs, **extra}, payload


def _http_facts(call: HttpCall) -> dict[str, Any]:
    return {
        "method": call.method,
        "url": call.url,
        "headers": call.headers,
        "params": call.params,
        "query": query_values(call.url) if call.query is None else call.query,
    }


def _scoring_facts(function: Function, invocation: str, call: HttpCall) -> dict[str, object]:
    facts: dict[str, object] = {
        "function": function.name,
        "invocation": invocation,
        "method": call.method,
        "url": call.url,
        "headers": call.headers,
    }
    if call.text_as_json:
        facts["text_as_json"] = True
    return facts


def _no_such_output(frame: Frame, free: Sequence[str]) -> str:
    named = (value.name for value in unpack(frame.facts["outputs"], frame.payload))
    wrong = next(name for name in named if name not in free)
    has = ", ".join(f"`{one}`" for one in free) or "none"
    return f"the entry script gave the output `{wrong}`; beside the result there is {has}"


def _log_answer(function: Function, invocation: str, call: HttpCall, started: float, frame: Frame) -> None:
    if log.isEnabledFor(logging.INFO):
        what = f"{call.method} request -> {frame.facts.get('status')}"
        _log_end(function, invocation, what, started, None)


def _log_end(function: Function, invocation: str, what: str, started: float, failure: str | None) -> None:
    took_ms = (time.monotonic() - started) * 1000
    if failure is None:
        log.info("%s %s: %s, %.1f ms", function.name, invocation[:8], what, took_ms)
    else:
        log.error("%s %s: %s failed after %.1f ms: %s", function.name, invocation[:8], what, took_ms, failure)
