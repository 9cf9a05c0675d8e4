"""Runs scoring functions: hands frames to the app's own copy of the scoring adapter."""

from __future__ import annotations

import importlib
import time
from collections.abc import Mapping
from types import ModuleType
from typing import Protocol

from fnpack_host.worker.output import current
from fnpack_host.worker.protocol import Frame, Kind, encode
from fnpack_host.worker.values import Value, pack


class Result(Protocol):
    """What the adapter gives: fnpack_scoring.Result, of the app's own copy."""

    body: bytes
    content_type: str
    status: int
    headers: Mapping[str, object]
    named: Mapping[str, Result]


class ScoringRunner:
    """Calls the adapter for one frame. `is_async` says whether calls may overlap.

    Facts of INVOKE: `method`, `url` and `headers` of an HTTP request, and `text_as_json` where text is to be encoded;
    `openapi`, a version, asks for the API document (and `has_keys` whether callers need a key); else it is an event.
    """

    def __init__(self, adapter: ModuleType, *, is_async: bool) -> None:
        self._adapter = adapter
        self.is_async = is_async
        self.facts: Mapping[str, object] = dict(adapter.facts())  # what the host has to know of the script

    @classmethod
    def load(cls) -> ScoringRunner:
        """Import `fnpack_scoring` from the app (it is first on sys.path) and let it import the script and `init()`."""
        adapter = importlib.import_module("fnpack_scoring")
        return cls(adapter, is_async=adapter.load().is_async)

    def run(self, frame: Frame) -> list[bytes]:
        """Score one frame with a synchronous `run`; returns the RESULT or FAILED frame to send."""
        token = current.set((str(frame.facts["function"]), str(frame.facts["invocation"])))
        started = time.perf_counter()
        try:
            if "method" in frame.facts:
                encoded = frame.facts.get("text_as_json", False)
                result = self._adapter.respond(self._request(frame), text_as_json=encoded)
            elif "openapi" in frame.facts:
                result = self._document(frame)
            else:
                result = self._adapter.score(frame.payload)
            return self._answer(frame, result, started)
        except (Exception, SystemExit) as error:
            return failed(frame, error)
        finally:
            current.reset(token)

    async def run_async(self, frame: Frame) -> list[bytes]:
        """`run` for an `async def run`."""
        current.set((str(frame.facts["function"]), str(frame.facts["invocation"])))
        started = time.perf_counter()
        try:
            if "method" in frame.facts:
                encoded = frame.facts.get("text_as_json", False)
                result = await self._adapter.respond_async(self._request(frame), text_as_json=encoded)
            elif "openapi" in frame.facts:
                result = self._document(frame)
            else:
                result = await self._adapter.score_async(frame.payload)
            return self._answer(frame, result, started)
        except (Exception, SystemExit) as error:
            return failed(frame, error)

    def _request(self, frame: Frame) -> object:
        facts = frame.facts
        return self._adapter.Request(facts["method"], facts["url"], dict(facts["headers"]), frame.payload)  # type: ignore[call-overload]

    def _document(self, frame: Frame) -> Result:
        result: Result = self._adapter.openapi(frame.facts["openapi"], has_keys=frame.facts["has_keys"])
        return result

    def _answer(self, frame: Frame, result: Result, started: float) -> list[bytes]:
        facts: dict[str, object] = {
            "ms": round((time.perf_counter() - started) * 1000, 3),
            "status": result.status,
            "type": result.content_type,
        }
        if result.headers:
            facts["headers"] = dict(result.headers)
        if not result.named:
            return encode(Kind.RESULT, frame.id, facts, result.body)
        values = [Value(name, "bytes", one.body) for name, one in result.named.items()]
        facts["outputs"], payload = pack(values, result.body)
        facts["types"] = {name: one.content_type for name, one in result.named.items()}
        return encode(Kind.RESULT, frame.id, facts, payload)


def failed(frame: Frame, error: BaseException) -> list[bytes]:
    """The FAILED frame for an exception; its traceback goes to the log here, where the user's code is."""
    import logging

    logging.getLogger("fnpack.worker").error("%s failed", frame.facts.get("function"), exc_info=error)
    return encode(Kind.FAILED, frame.id, {"error": describe(error)})


def describe(error: BaseException) -> str:
    """The type and text of an exception, also of one whose text cannot be had."""
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:
        return f"{type(error).__name__} (its text cannot be read)"
