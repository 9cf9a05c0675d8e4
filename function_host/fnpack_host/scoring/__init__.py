"""The scoring adapter: gives an entry script (`init`, `run`) what Azure ML SDK v1 gave it, on any function host.

fnpack copies this package into each app as `fnpack_scoring`, so that Microsoft's host and fnpack's run the same
code. It uses the standard library alone and reads `scoring.json` beside itself (docs/app-directory.md).
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from . import openapi as _openapi
from .entry_script import EntryScript
from .errors import BadInput, EntryScriptError, ScoringError, ScoringTimeout
from .request import Request
from .result import Outputs, Result, check_event, failure, to_result

__all__ = [
    "BadInput",
    "EntryScriptError",
    "Outputs",
    "Request",
    "Result",
    "ScoringError",
    "deliver",
    "facts",
    "load",
    "openapi",
    "respond",
    "respond_async",
    "score",
    "score_async",
]

_lock = threading.RLock()
_script: EntryScript | None = None


class Out(Protocol):
    """An output binding's parameter (`azure.functions.Out`)."""

    def set(self, val: bytes) -> None:
        """Set what is written once the function has returned."""


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

    Raises BadInput when the input cannot be read as the script wants it, ScoringError when the script answers with
    an error response or takes too long; whatever `run` raises passes through, so that the host retries the event.
    """
    script = load()
    try:
        return check_event(to_result(_run(script, request or Request.event(body))))
    except ScoringTimeout as error:
        raise ScoringError(str(error)) from error


async def score_async(body: bytes, request: Request | None = None) -> Result:
    """`score` for an `async def run`; calls overlap as the script awaits."""
    script = load()
    try:
        return check_event(to_result(await script.run_async(request or Request.event(body))))
    except ScoringTimeout as error:
        raise ScoringError(str(error)) from error


def respond(request: Request, *, text_as_json: bool = False) -> Result:
    """Score one HTTP request and never raise: a failure becomes SDK v1's error body (400, 415 or 500).

    `text_as_json` has text encoded as JSON, as SDK v1's server did.
    """
    script = load()
    try:
        value = _run(script, request)
        return to_result(value, text_as_json=text_as_json, strict=script.settings.strict)
    except (Exception, SystemExit, ScoringTimeout) as error:
        return _failure(script, error)


async def respond_async(request: Request, *, text_as_json: bool = False) -> Result:
    """`respond` for an `async def run`."""
    script = load()
    try:
        value = await script.run_async(request)
        return to_result(value, text_as_json=text_as_json, strict=script.settings.strict)
    except (Exception, SystemExit, ScoringTimeout) as error:
        return _failure(script, error)


def deliver(result: Result, output: Out | None, /, **others: Out) -> None:
    """Give a result to the output bindings of a function: `output` takes the main one, `others` theirs by name.

    `output` is None where the main one is the answer to an HTTP request. Raises ScoringError for an output that the
    function does not have; nothing is set then.
    """
    for name in result.named:
        if name not in others:
            has = ", ".join(f"`{one}`" for one in others) or "none"
            raise ScoringError(f"the entry script gave the output `{name}`; beside the result there is {has}")
    if output is not None:
        output.set(result.body)
    for name, one in result.named.items():
        others[name].set(one.body)


def openapi(version: str, *, has_keys: bool) -> Result:
    """The API document of a version (2, 2.0, 3, 3.0 or 3.1); status 404 where the app has none."""
    script = load()
    folders = tuple(dict.fromkeys((script.app_root, script.path.parent)))
    return _openapi.document(version, script.function, script.settings, folders, has_keys=has_keys)


def facts() -> Mapping[str, object]:
    """What a host has to know of the loaded script's settings."""
    settings = load().settings
    return {
        "cors_origins": list(settings.cors_origins),
        "shows_version": settings.shows_version,
        "strict": settings.strict,
    }


def _run(script: EntryScript, request: Request) -> object:
    """Call `run` for a host that calls synchronously, maybe from several threads."""
    if script.is_async:
        return script.run(request)
    with _lock:
        return script.run(request)


def _failure(script: EntryScript, error: BaseException) -> Result:
    if (
        isinstance(error, SystemExit) and script.settings.strict
    ):  # SDK v1's worker ended, and another took its place
        failure(error)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(error.code if isinstance(error.code, int) else 1)
    return failure(error)
