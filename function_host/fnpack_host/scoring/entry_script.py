"""Imports the user's entry script, calls `init()` and knows how its `run` wants to be called."""

from __future__ import annotations

import importlib.util
import inspect
import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType

from . import background_loop, sdk_v1
from .request import BadInput, Request


class EntryScriptError(Exception):
    """The entry script cannot be used: it does not import, or `init` or `run` is missing or has a wrong shape."""


class EntryScript:
    """The loaded script. `run` and `run_async` call it with what its signature asks for."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._init: Callable[[], object] | None = None
        self._run: Callable[..., object] | None = None
        self._arguments: Callable[[Request], dict[str, object] | tuple[object, ...]] = _text
        self._wants_headers = False
        self.is_async = False

    @classmethod
    def from_app(cls, app_root: Path) -> EntryScript:
        """Read `scoring.json` in `app_root`, set the environment that SDK v1 promised, and import the script."""
        try:
            config = json.loads((app_root / "scoring.json").read_text("utf-8"))
            path = app_root / config["entry_script"]
        except (OSError, ValueError, KeyError) as error:
            raise EntryScriptError(f"{app_root / 'scoring.json'} cannot be read: {error!r}") from error
        _prepare(app_root, path, config)
        script = cls(path)
        script._bind(_import(path))
        return script

    def initialise(self) -> None:
        """Call the script's `init()`; whatever it raises passes through."""
        if self._init is not None:
            self._init()

    def run(self, request: Request) -> object:
        """Call `run` and return its value; one that turns out to be async is awaited on a loop in the background.

        The packager writes an async function where it sees `async def run`; it does not see one that is imported.
        """
        if self.is_async:
            return background_loop.wait_for(self.run_async(request))
        value = self._call(request)
        return background_loop.wait_for(value) if inspect.isawaitable(value) else value

    async def run_async(self, request: Request) -> object:
        """Call `run` and await it where it is a coroutine function."""
        value = self._call(request)
        return await value if inspect.isawaitable(value) else value

    def _call(self, request: Request) -> object:
        if self._run is None:
            raise EntryScriptError(f"{self.path.name} has not been loaded")
        given = self._arguments(request)
        extra = {"request_headers": dict(request.headers)} if self._wants_headers else {}
        if isinstance(given, tuple):
            return self._run(*given, **extra)
        return self._run(**given, **extra)

    def _bind(self, module: ModuleType) -> None:
        run, init = getattr(module, "run", None), getattr(module, "init", None)
        for name, function in (("init", init), ("run", run)):
            if not callable(function):
                raise EntryScriptError(f"{self.path.name} defines no function `{name}`")
        self._init, self._run = init, run
        self.is_async = inspect.iscoroutinefunction(inspect.unwrap(run))  # type: ignore[arg-type]
        parameters = list(inspect.signature(run).parameters.values())  # type: ignore[arg-type]
        self._wants_headers = any(p.name == "request_headers" for p in parameters)
        if sdk_v1.is_raw(run):
            self._arguments = lambda request: (request,)
        elif names := sdk_v1.schema_parameters(run):
            self._arguments = lambda request: _named(request, names)


def _text(request: Request) -> tuple[object, ...]:
    return (request.text(),)


def _named(request: Request, names: Mapping[str, bool]) -> dict[str, object]:
    """The arguments of a schema-decorated `run`: its parameters out of the JSON object (or the query)."""
    given = request.query_values() if request.method == "GET" else request.get_json()
    if not isinstance(given, dict):
        raise BadInput(f"the body must be a JSON object with {_listed(names)}")
    missing = [name for name, required in names.items() if required and name not in given]
    if missing:
        raise BadInput(f"the body lacks {_listed(missing)}")
    return {name: given[name] for name in names if name in given}


def _listed(names: object) -> str:
    return ", ".join(f"`{name}`" for name in names)  # type: ignore[attr-defined]


def _prepare(app_root: Path, script: Path, config: Mapping[str, object]) -> None:
    """The environment, search path and working directory of SDK v1's container."""
    models = config.get("models") or []
    if not isinstance(models, list):
        raise EntryScriptError("scoring.json: `models` must be a list")
    values = {str(k): str(v) for k, v in dict(config.get("environment") or {}).items()}  # type: ignore[call-overload]
    values |= {"AML_APP_ROOT": str(app_root), "AZUREML_ENTRY_SCRIPT": str(config["entry_script"])}
    if len(models) == 1:
        values["AZUREML_MODEL_DIR"] = str(app_root / models[0]["path"])
    elif models:
        values["AZUREML_MODEL_DIR"] = str(app_root / "azureml-models")
    source = config.get("source_directory")
    if source:
        values["AZUREML_SOURCE_DIRECTORY"] = str(source)
    for name, value in values.items():
        os.environ.setdefault(name, value)
    folders = [app_root, app_root / str(source) if source else script.parent, script.parent]
    for folder in map(str, folders):
        if folder in sys.path:
            sys.path.remove(folder)
        sys.path.insert(0, folder)
    os.chdir(app_root)
    sdk_v1.install()


def _import(path: Path) -> ModuleType:
    if not path.is_file():
        raise EntryScriptError(f"the entry script {path} does not exist")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise EntryScriptError(f"{path} cannot be imported as a Python module")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # before it runs, so that a helper may import it and pickles find it
    spec.loader.exec_module(module)
    return module
