"""Sends input to a running function, whatever its trigger, and brings back its output. It starts nothing."""

from __future__ import annotations

import asyncio
import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fnpack_host.app.function_app import Function, FunctionApp
from fnpack_host.errors import HostStartError
from fnpack_host.settings import Settings
from fnpack_triggers.errors import FnpackError


class InvokeError(FnpackError):
    """The call cannot be made, or brought no output."""

    code = "FN501"


class FunctionFailed(InvokeError):  # noqa: N818 - names what happened
    """The function answered with an error."""

    code = "FN502"


class NoAnswer(InvokeError):  # noqa: N818
    """Nothing answered in time."""

    code = "FN503"


@dataclass(frozen=True, slots=True)
class Input:
    """What to send. `file_name` is used to name a blob; `blob_name` names it outright."""

    payload: bytes
    file_name: str = "input"
    blob_name: str | None = None


@dataclass(frozen=True, slots=True)
class Output:
    """What came back, and from where (`HTTP 200`, or the output blob's path)."""

    payload: bytes
    source: str
    content_type: str = ""


def load_function(
    app_root: Path, name: str | None, settings: Mapping[str, str] | None = None
) -> tuple[FunctionApp, Function]:
    """The function to call: the one named, else the only one. Raises InvokeError that lists what there is.

    `settings` win over those of the environment and of the app.
    """
    try:
        app = FunctionApp.load(app_root.resolve(), Settings({**Settings.load(app_root), **(settings or {})}))
        if app.script is not None:
            from fnpack_host.indexing import indexed

            app = asyncio.run(indexed(app))
    except HostStartError as error:  # no host was to start here
        raise InvokeError(str(error), hint=error.hint) from error
    names = [function.name for function in app.functions]
    if not names:
        raise InvokeError(f"the app {app.root} has no function")
    if name is None and len(names) > 1:
        raise InvokeError(
            f"the app has several functions: {', '.join(names)}", hint="say which with --function NAME"
        )
    for function in app.functions:
        if name is None or function.name.lower() == name.lower():
            if function.error:
                raise InvokeError(
                    f"function {function.name} cannot run: {function.error}",
                    hint="correct its function.json, or write the app again with `fnpack build --app-only`"
                    if app.script is None
                    else f"correct {app.script.name}",
                )
            return app, function
    near = difflib.get_close_matches(name or "", names, n=1)
    raise InvokeError(
        f"the app has no function `{name}`; it has {', '.join(names)}",
        hint=f"did you mean `--function {near[0] if near else names[0]}`?",
    )
