"""Imports the user's entry script in SDK v1's surroundings, calls `init()`, and runs `run` within its limits."""

from __future__ import annotations

import importlib.util
import inspect
import json
import logging
import logging.config
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import cast

from . import background_loop, sdk_v1
from .errors import EntryScriptError, ResultError
from .request import Request
from .run_function import RunFunction
from .settings import Settings
from .time_limit import TimeLimit

MAX_LISTED = 200  # lines on the model's files, where init() fails

log = logging.getLogger("fnpack_scoring")


class EntryScript:
    """The loaded script. `run` and `run_async` call it with what its signature asks for."""

    def __init__(self, app_root: Path, path: Path, settings: Settings, module: ModuleType) -> None:
        self.app_root, self.path, self.settings = app_root, path, settings
        self._init = _function(module, "init", path)
        # SDK v1's tools wrote drivers that forward to the script proper; its run is called directly, as by SDK v1.
        driven = getattr(module, "driver_module", None)
        has_driver = isinstance(driven, ModuleType) and hasattr(driven, "run")
        run = _function(cast("ModuleType", driven) if has_driver else module, "run", path)
        try:
            self.function = RunFunction(run, strict=settings.strict)
        except EntryScriptError as error:
            raise EntryScriptError(f"{path.name}: {error}") from None
        self.is_async = self.function.is_async
        self._limit = TimeLimit(settings.timeout_ms)

    @classmethod
    def from_app(cls, app_root: Path) -> EntryScript:
        """Read `scoring.json` in `app_root`, set the environment that SDK v1 promised, and import the script."""
        try:
            config = json.loads((app_root / "scoring.json").read_text("utf-8"))
            path = app_root / config["entry_script"]
        except (OSError, ValueError, KeyError) as error:
            raise EntryScriptError(f"{app_root / 'scoring.json'} cannot be read: {error!r}") from error
        _prepare(app_root, path, config)
        settings = Settings.read(app_root, path)
        _set_up_logging(app_root, path, settings)
        return cls(app_root, path, settings, _import(path))

    def initialise(self) -> None:
        """Call the script's `init()`; whatever it raises passes through, after a look at the model's files."""
        try:
            self._init()
        except BaseException:
            _list_models()
            raise

    def run(self, request: Request) -> object:
        """Call `run` and return its value; one that turns out to be async is awaited on a loop in the background.

        The packager writes an async function where it sees `async def run`; it does not see one that is imported.
        """
        if self.is_async:
            return background_loop.wait_for(self.run_async(request))
        limit = self._limit
        value = (
            self.function(request) if limit.timeout_ms is None else limit.call(lambda: self.function(request))
        )
        if inspect.isawaitable(value):
            self._refuse_if_strict(value)
            return background_loop.wait_for(limit.wait(value))
        return value

    async def run_async(self, request: Request) -> object:
        """Call `run` and await it where it is a coroutine function."""
        value = self.function(request)
        if not inspect.isawaitable(value):
            return value
        self._refuse_if_strict(value)
        return await (value if self._limit.timeout_ms is None else self._limit.wait(value))

    def _refuse_if_strict(self, value: object) -> None:
        if self.settings.strict:
            if inspect.iscoroutine(value):
                value.close()
            raise ResultError("run() is async, and SDK v1's server awaits nothing")


def _function(module: ModuleType, name: str, path: Path) -> Callable[[], object]:
    function = getattr(module, name, None)
    if not callable(function):
        raise EntryScriptError(f"{path.name} defines no function `{name}`")
    return cast("Callable[[], object]", function)


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


def _set_up_logging(app_root: Path, script: Path, settings: Settings) -> None:
    """`logging.json` beside the app or the script replaces the logging; AZUREML_LOG_LEVEL sets its level."""
    for path in (app_root / "logging.json", script.parent / "logging.json"):
        if path.is_file():
            try:
                logging.config.dictConfig(json.loads(path.read_text("utf-8")))
            except (OSError, ValueError, TypeError, AttributeError, ImportError) as error:
                raise EntryScriptError(f"{path} is no logging configuration: {error}") from error
            break
    if settings.log_level:
        try:
            logging.getLogger().setLevel(settings.log_level)
        except ValueError as error:
            raise EntryScriptError(f"AZUREML_LOG_LEVEL: {error}; use DEBUG, INFO, WARNING or ERROR") from None


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


def _list_models() -> None:
    """Log what is in the model folder: a wrong path is the most frequent reason for an init() that fails."""
    folder = os.environ.get("AZUREML_MODEL_DIR", "")
    if not folder:  # the app has no model
        return
    if not Path(folder).is_dir():
        log.error("init() failed; AZUREML_MODEL_DIR is %s, which is no folder", folder)
        return
    lines = list(islice(_tree(Path(folder), 0), MAX_LISTED + 1))
    if len(lines) > MAX_LISTED:
        lines[MAX_LISTED:] = [f"... (the first {MAX_LISTED} lines)"]
    log.error("init() failed; AZUREML_MODEL_DIR is %s and holds\n%s", folder, "\n".join(lines))


def _tree(folder: Path, depth: int) -> Iterator[str]:
    try:
        paths = sorted(folder.iterdir())
    except OSError as error:
        yield f"{'    ' * depth}({error.strerror})"
        return
    for path in paths:
        yield f"{'    ' * depth}{path.name}{'/' if path.is_dir() else ''}"
        if path.is_dir():
            yield from _tree(path, depth + 1)
