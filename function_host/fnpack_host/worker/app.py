"""The app inside the worker: loads it, says what is in it, and gives each call to what runs it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from fnpack_host.worker.functions import FunctionRunner
from fnpack_host.worker.library import Library
from fnpack_host.worker.loader import (
    Indexed,
    UserFunction,
    bind,
    describe,
    index_v2,
    load_v1,
    make_namespace,
    user_traceback,
)
from fnpack_host.worker.protocol import Frame, Kind, encode
from fnpack_host.worker.scoring import ScoringRunner

log = logging.getLogger("fnpack.worker")


class App:
    """What runs the functions of an app. `load` fills it; `errors` says why a function cannot run, by its name."""

    def __init__(self, app_root: Path) -> None:
        self._app_root = app_root
        self._scoring: ScoringRunner | None = None
        self._functions: FunctionRunner | None = None
        self._indexed: list[Indexed] = []
        self._scoring_names: frozenset[str] = frozenset()
        self._one_thread: ThreadPoolExecutor | None = None
        self.errors: dict[str, str] = {}

    @property
    def sequential(self) -> ScoringRunner | None:
        """The scoring runner where one call at a time runs in this thread: the fast path of an app made by fnpack."""
        alone = self._functions is None and self._scoring is not None and not self._scoring.is_async
        return self._scoring if alone else None

    def load(self, facts: Mapping[str, object]) -> dict[str, object]:
        """Import user code; returns the facts of STARTED.

        `facts` of START: `app_root`; `scoring`, the names of scoring functions; `functions`, v1 functions; `script`,
        that of a v2 app. What the entry script or the v2 script raises passes through, unless other functions run.
        """
        make_namespace(self._app_root)
        scoring, functions = _names(facts.get("scoring")), _dicts(facts.get("functions"))
        self._scoring_names = frozenset(scoring)
        failure = self._load_scoring() if scoring else None
        loaded = self._load_functions(functions, str(facts.get("script") or ""))
        if failure is not None:
            if not loaded:
                raise failure
            self.errors |= {name: describe(failure) for name in scoring}
        return {
            "overlapping": self.sequential is None,
            "errors": self.errors,
            "scoring": self._scoring.facts if self._scoring is not None else {},
            "functions": [
                {"name": f.name, "directory": f.directory, "content": dict(f.content)} for f in self._indexed
            ],
        }

    def submit(self, frame: Frame, answer: Callable[[list[bytes]], None]) -> bool:
        """Run a synchronous call in a thread, which then calls `answer`; False for one that `run` has to run."""
        name = str(frame.facts["function"])
        if self._functions is not None and name in self._functions.names:
            return self._functions.submit(frame, answer)
        scoring = self._scoring
        if scoring is None or scoring.is_async or name not in self._scoring_names:
            return False
        if self._one_thread is None:
            self._one_thread = ThreadPoolExecutor(1, thread_name_prefix="scoring")
        self._one_thread.submit(lambda: answer(scoring.run(frame)))
        return True

    async def run(self, frame: Frame) -> list[bytes]:
        """Run an async call on the loop; returns the frame to send."""
        name = str(frame.facts["function"])
        if self._functions is not None and name in self._functions.names:
            return await self._functions.run(frame)
        if self._scoring is not None and name in self._scoring_names:
            return await self._scoring.run_async(frame)
        # The host asks for what its first worker could load; this one, started later, could not.
        reason = self.errors.get(name, "the app does not have it any more")
        return encode(Kind.FAILED, frame.id, {"error": f"the function could not be loaded: {reason}"})

    def _load_scoring(self) -> BaseException | None:
        try:
            self._scoring = ScoringRunner.load()
        except (Exception, SystemExit) as error:
            return error
        return None

    def _load_functions(self, v1: list[Mapping[str, object]], script: str) -> bool:
        """Load what is no scoring function; says whether any can run."""
        if not v1 and not script:
            return False
        loaders: dict[str, Callable[[Library], UserFunction]] = {
            str(facts["name"]): partial(load_v1, self._app_root, facts) for facts in v1
        }
        try:
            library = Library()
        except Exception as error:
            if script:
                raise
            self.errors |= {name: describe(error) for name in loaders}
            return False
        if script:
            self._indexed = index_v2(Path(script), library)
            loaders = {f.name: partial(_bind_indexed, f) for f in self._indexed}
        loaded: dict[str, UserFunction] = {}
        for name, load in loaders.items():
            try:
                loaded[name] = load(library)
            except (Exception, SystemExit) as error:  # noqa: PERF203 - one broken function does not stop the others
                self.errors[name] = describe(error)
                log.error("cannot load the %s function\n%s", name, user_traceback(error))
        if loaded:
            self._functions = FunctionRunner(loaded, library)
        return bool(loaded)


def _bind_indexed(function: Indexed, library: Library) -> UserFunction:
    return bind(function.name, function.directory, function.call, function.bindings, library)


def _names(raw: object) -> list[str]:
    return [str(name) for name in raw] if isinstance(raw, list) else []


def _dicts(raw: object) -> list[Mapping[str, object]]:
    return [entry for entry in raw if isinstance(entry, Mapping)] if isinstance(raw, list) else []
