"""The scoring adapter: gives an entry script (`init`, `run`) what Azure ML SDK v1 gave it, on any function host.

fnpack copies this package into each app as `fnpack_scoring`, so that Microsoft's host and fnpack's run the same
code. It uses the standard library alone and reads `scoring.json` beside itself (docs/app-directory.md).
"""

from __future__ import annotations

import threading
from pathlib import Path

from .entry_script import EntryScript, EntryScriptError
from .request import BadInput, Request
from .result import Result, ScoringError, failure, to_result

__all__ = [
    "BadInput",
    "EntryScriptError",
    "Request",
    "Result",
    "ScoringError",
    "load",
    "respond",
    "respond_async",
    "score",
    "score_async",
]

_lock = threading.RLock()
_script: EntryScript | None = None


def load(app_root: Path | None = None) -> EntryScript:
    """Import the entry script and call its `init()`, once per process; later calls return what is loaded.

    `app_root` is the app directory, by default the folder that holds this package. Raises EntryScriptError when
    the script cannot be imported or lacks `init` or `run`; whatever `init()` raises passes through.
    """
    global _script
    with _lock:
        if _script is None:
            script = EntryScript.from_app(app_root or Path(__file__).resolve().parent.parent)
            script.initialise()
            _script = script
    return _script


def score(body: bytes, request: Request | None = None) -> Result:
    """Score one event's bytes: one call at a time, as SDK v1's server made them, unless `run` is async.

    Raises ScoringError when the input cannot be read as text, or when the script answers with an error
    response; whatever `run` raises passes through, so that the host retries the event.
    """
    return _checked(_run(load(), request or Request.event(body)))


async def score_async(body: bytes, request: Request | None = None) -> Result:
    """`score` for an `async def run`; calls overlap as the script awaits."""
    script = load()
    return _checked(to_result(await script.run_async(request or Request.event(body))))


def respond(request: Request) -> Result:
    """Score one HTTP request and never raise: a failure becomes SDK v1's error body (400 or 500)."""
    try:
        return _run(load(), request)
    except (Exception, SystemExit) as error:
        return failure(error)


async def respond_async(request: Request) -> Result:
    """`respond` for an `async def run`."""
    try:
        return to_result(await load().run_async(request))
    except (Exception, SystemExit) as error:
        return failure(error)


def _run(script: EntryScript, request: Request) -> Result:
    """Call `run` for a host that calls synchronously, maybe from several threads."""
    if script.is_async:
        return to_result(script.run(request))
    with _lock:
        return to_result(script.run(request))


def _checked(result: Result) -> Result:
    """An event has no caller who would read an error response: it has to be a failure, so that it is retried."""
    if result.status >= 400:
        text = result.body[:500].decode("utf-8", "replace")
        raise ScoringError(f"the entry script answered with status {result.status}: {text}")
    return result
