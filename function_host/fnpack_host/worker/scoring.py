"""Runs scoring functions: hands frames to the app's own copy of the scoring adapter."""

from __future__ import annotations

import importlib
import time
from types import ModuleType

from fnpack_host.worker.output import current
from fnpack_host.worker.protocol import Frame, Kind, encode


class ScoringRunner:
    """Calls the adapter for one frame. `is_async` says whether calls may overlap."""

    def __init__(self, adapter: ModuleType, *, is_async: bool) -> None:
        self._adapter = adapter
        self.is_async = is_async

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
                return self._answer(frame, self._adapter.respond(self._request(frame)), started)
            return self._answer(frame, self._adapter.score(frame.payload), started)
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
                return self._answer(frame, await self._adapter.respond_async(self._request(frame)), started)
            return self._answer(frame, await self._adapter.score_async(frame.payload), started)
        except (Exception, SystemExit) as error:
            return failed(frame, error)

    def _request(self, frame: Frame) -> object:
        facts = frame.facts
        return self._adapter.Request(facts["method"], facts["url"], dict(facts["headers"]), frame.payload)  # type: ignore[call-overload]

    def _answer(self, frame: Frame, result: object, started: float) -> list[bytes]:
        facts = {
            "ms": round((time.perf_counter() - started) * 1000, 3),
            "status": result.status,  # type: ignore[attr-defined]
            "type": result.content_type,  # type: ignore[attr-defined]
        }
        if result.headers:  # type: ignore[attr-defined]
            facts["headers"] = dict(result.headers)  # type: ignore[attr-defined]
        return encode(Kind.RESULT, frame.id, facts, result.body)  # type: ignore[attr-defined]


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
