"""Imports user code by Azure's rules: `__app__.<function>` for v1 folders, the module of function_app.py for v2."""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.util
import inspect
import json
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from fnpack_host.worker import scoring
from fnpack_host.worker.library import Library
from fnpack_host.worker.signature import BindingFacts, Signature, read_signature

NAMESPACE = "__app__"


class LoadError(Exception):
    """User code was imported, but what is needed is not in it."""


@dataclass(frozen=True, slots=True)
class UserFunction:
    """A function that can be called."""

    name: str
    directory: str
    call: Callable[..., object]
    signature: Signature
    trigger: BindingFacts
    is_async: bool  # calling it gives a coroutine

    @property
    def is_http(self) -> bool:
        """Whether its result is an HTTP response."""
        return self.trigger.type == "httptrigger"


@dataclass(frozen=True, slots=True)
class Indexed:
    """A function of a v2 app: what its decorators say, as function.json would, and the code."""

    name: str
    directory: str
    content: Mapping[str, object]
    call: Callable[..., object]

    @property
    def bindings(self) -> list[Mapping[str, object]]:
        """The entries of `bindings`."""
        found = self.content["bindings"]
        assert isinstance(found, list)
        return found


def load_v1(app_root: Path, facts: Mapping[str, object], library: Library) -> UserFunction:
    """Import one function folder's script. Whatever its import raises passes through.

    `facts` holds the function's name, directory, script, entry_point and bindings.
    """
    name, directory = str(facts["name"]), str(facts["directory"])
    module = importlib.import_module(_module_name(app_root, str(facts["script"])))
    call = getattr(module, str(facts["entry_point"]), None)
    if not callable(call):
        raise LoadError(f"function {facts['entry_point']}() is not present in {facts['script']}")
    raw = facts["bindings"]
    assert isinstance(raw, list)
    return bind(name, directory, call, raw, library)


def bind(
    name: str,
    directory: str,
    call: Callable[..., object],
    raw_bindings: list[Mapping[str, object]],
    library: Library,
) -> UserFunction:
    """Check a function against its bindings. Raises SignatureError."""
    bindings = [BindingFacts.read(raw) for raw in raw_bindings]
    trigger = next((binding for binding in bindings if binding.is_trigger), bindings[0])
    signature = read_signature(call, bindings, library)
    return UserFunction(name, directory, call, signature, trigger, inspect.iscoroutinefunction(call))


def index_v2(script: Path, library: Library) -> list[Indexed]:
    """Import the script of a v2 app and ask its FunctionApp for the functions. Everything raised passes through."""
    module = importlib.import_module(script.stem)
    apps = {id(found): found for found in vars(module).values() if isinstance(found, library.register_class)}
    if len(apps) != 1:
        number = "more than one" if apps else "no"
        raise LoadError(
            f"{script.name} has {number} top-level function app instance (app = func.FunctionApp())"
        )
    (app,) = apps.values()
    return [_indexed(function, script) for function in app.get_functions()]  # type: ignore[attr-defined]


def make_namespace(app_root: Path) -> None:
    """Make `__app__` a package over the app's root, so that folder names with `-` can be imported."""
    spec = importlib.machinery.ModuleSpec(NAMESPACE, None, is_package=True)
    spec.submodule_search_locations = [str(app_root)]
    sys.modules[NAMESPACE] = importlib.util.module_from_spec(spec)


def describe(error: BaseException) -> str:
    """One line on what an import raised."""
    if type(error).__module__.startswith("fnpack_host."):
        return str(error)
    hint = (
        "; if it is a package, add it to requirements.txt" if isinstance(error, ModuleNotFoundError) else ""
    )
    return scoring.describe(error) + hint


def user_traceback(error: BaseException) -> str:
    """The traceback without the import machinery's and the worker's own frames."""
    found = traceback.TracebackException.from_exception(error)
    machinery = ("<frozen importlib", str(Path(importlib.__file__).parent), str(Path(__file__).parent))
    kept = [frame for frame in found.stack if not frame.filename.startswith(machinery)]
    found.stack = traceback.StackSummary.from_list(kept)
    return "".join(found.format()).rstrip()


def _module_name(app_root: Path, script: str) -> str:
    path = Path(os.path.normpath(script))
    try:
        relative = path.relative_to(app_root)
    except ValueError:
        raise LoadError(f"the script {script} is not below the app's folder {app_root}") from None
    if relative.suffix != ".py":
        raise LoadError(f"invalid Python filename {relative}")
    parts = [NAMESPACE, *relative.parts[:-1]]
    if relative.stem != "__init__":
        parts.append(relative.stem)
    return ".".join(parts)


def _indexed(function: object, script: Path) -> Indexed:
    call = function.get_user_function()  # type: ignore[attr-defined]
    content = json.loads(function.get_function_json())  # type: ignore[attr-defined]
    if retry := _retry_settings(function):
        content["retry"] = retry
    name = str(function.get_function_name())  # type: ignore[attr-defined]
    try:
        file = inspect.getfile(inspect.unwrap(call))
    except TypeError:  # a callable object
        file = str(script)
    return Indexed(name, str(Path(file).parent), content, call)


def _retry_settings(function: object) -> Mapping[str, object]:
    """What `@app.retry` says, with the keys that it says; nothing in a library that has no such decorator."""
    settings = getattr(function, "get_settings_dict", None)
    found = settings("retry_policy") if settings is not None else None
    return {key: value for key, value in (found or {}).items() if key != "setting_name" and value is not None}
