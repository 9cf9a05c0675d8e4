"""The function app as data: its root, its functions with their bindings, and what keeps one from loading.

Source of the rules: Azure Functions host, function.json (names, `scriptFile`, `entryPoint`, one trigger).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from fnpack_host.app.host_json import OVERRIDE_PREFIX, HostJson
from fnpack_host.app.lenient_json import read_json_object
from fnpack_host.app.retry import TRIGGERS as RETRIED
from fnpack_host.app.retry import RetryPolicy, read_retry, retry_problems
from fnpack_host.errors import AppDirectoryError, FnpackError, FunctionLoadError
from fnpack_host.settings import HOST_ID, Settings
from fnpack_triggers.base import Binding, Json

SCORING_MARK = "fnpack-scoring-1"
V2_SCRIPT = "function_app.py"
V2_SCRIPT_SETTING = "PYTHON_SCRIPT_FILE_NAME"
_V2_SCRIPT_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*\.py")
_FUNCTION_NAME = re.compile(r"^[a-z][a-z0-9_-]{0,127}$", re.IGNORECASE)
_BINDING_NAME = re.compile(r"^([a-z_][a-z0-9_]{0,127}|\$return)$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Function:
    """One function of the app. `error` says why it cannot run; the rest is then what could be read."""

    name: str
    directory: Path
    bindings: tuple[Binding, ...] = ()
    script_file: Path | None = None
    entry_point: str = "main"
    is_scoring: bool = False
    is_disabled: bool = False
    error: str | None = None
    retry: RetryPolicy | None = None  # its own; see FunctionApp.retry_of

    @property
    def trigger(self) -> Binding:
        """The binding that starts the function. Raises FunctionLoadError where none was read."""
        for binding in self.bindings:
            if binding.is_trigger:
                return binding
        raise FunctionLoadError(f"function {self.name} has no trigger")

    @property
    def inputs(self) -> tuple[Binding, ...]:
        """The input bindings beside the trigger."""
        return tuple(b for b in self.bindings if b.direction == "in" and not b.is_trigger)

    @property
    def is_http(self) -> bool:
        """Whether an HTTP request starts it; also of one that cannot run, if that much could be read."""
        return any(binding.type == "httptrigger" for binding in self.bindings)

    @property
    def outputs(self) -> tuple[Binding, ...]:
        """The output bindings other than the HTTP response."""
        return tuple(b for b in self.bindings if b.direction == "out" and b.type != "http")

    @property
    def is_runnable(self) -> bool:
        """Whether it loaded and is not disabled."""
        return self.error is None and not self.is_disabled


@dataclass(frozen=True, slots=True)
class FunctionApp:
    """A function-app directory that has been read. Every function is listed, broken and disabled ones too.

    `script` is that of a v2 app, whose functions only a worker can tell: they are there after `indexed`.
    """

    root: Path
    functions: tuple[Function, ...]
    host_json: HostJson
    settings: Settings
    script: Path | None = None

    @classmethod
    def load(cls, root: Path, settings: Settings) -> FunctionApp:
        """Read the app below `root`; a `function_app.py` makes it a v2 app, whatever folders there are.

        Raises AppDirectoryError where it holds no function at all.
        """
        if not root.is_dir():
            raise AppDirectoryError(f"{root} is not a folder", hint="give the folder that holds host.json")
        host_json = HostJson.load(root, settings.below(OVERRIDE_PREFIX))
        script = _v2_script(root, settings)
        if script is not None:
            return cls(root, (), host_json, settings, script)
        folders = sorted(path.parent for path in root.glob("*/function.json"))
        if not folders:
            raise AppDirectoryError(
                f"{root} holds no function: there is no {V2_SCRIPT}, and none of its folders has a function.json",
                hint="give the folder that holds host.json and one folder per function, or write one with "
                "`fnpack build --app-only DIR`",
            )
        return cls(root, (), host_json, settings)._with([_read_function(folder) for folder in folders])

    def indexed(self, reported: object) -> FunctionApp:
        """A v2 app with the functions that a worker has reported: dicts with name, directory and content."""
        entries = reported if isinstance(reported, list) else []
        return self._with([_indexed_function(entry, self.script or self.root) for entry in entries])

    def with_errors(self, errors: Mapping[str, str]) -> FunctionApp:
        """The app with what keeps functions from running, by their names; what is known already stays."""
        functions = (replace(f, error=f.error or errors.get(f.name)) for f in self.functions)
        return replace(self, functions=tuple(functions))

    def retry_of(self, function: Function) -> RetryPolicy | None:
        """How failed calls of a function are repeated by the host: as it says itself, else as host.json says.

        None where neither does, and for triggers that follow no policy.
        """
        return (function.retry or self.host_json.retry) if function.trigger.type in RETRIED else None

    def ignored_retries(self) -> list[str]:
        """A sentence on each retry policy that changes nothing here."""
        ignored = [
            f"function {f.name}: its retry policy is ignored: a {f.trigger.type} repeats by rules of its own, or not"
            for f in self.functions
            if f.retry is not None and f.trigger.type not in RETRIED
        ]
        followed = any(b.type in RETRIED for f in self.functions for b in f.bindings)
        if self.host_json.retry is not None and not followed:
            ignored.append(
                "host.json: retry is ignored: only timer functions follow it, and the app has none"
            )
        return ignored

    def start_facts(self) -> dict[str, object]:
        """What a worker has to know to load the app. Disabled functions are told last: the master key runs them."""
        loadable = sorted((f for f in self.functions if f.error is None), key=lambda f: f.is_disabled)
        return {
            "app_root": str(self.root),
            "script": str(self.script) if self.script else "",
            "scoring": [f.name for f in loadable if f.is_scoring],
            "functions": [_worker_facts(f) for f in loadable if not f.is_scoring],
        }

    def _with(self, functions: Iterable[Function]) -> FunctionApp:
        allowed = self.host_json.strings("functions")
        if allowed is not None:
            functions = [f for f in functions if f.name.lower() in {name.lower() for name in allowed}]
        settings = self.settings
        disabled = (replace(f, is_disabled=_disabled(f.name, settings)) for f in functions)
        return replace(self, functions=tuple(disabled))

    @property
    def host_id(self) -> str:
        """What names this app's state in storage: the same for every container, machine and rebuild of the app.

        `AzureFunctionsWebHost__hostid` where set, else made from the functions' names, triggers and outputs.
        """
        if self.settings.is_set(HOST_ID):
            return self.settings[HOST_ID]
        shape = [
            [f.name, [[b.type, dict(sorted(b.properties.items()))] for b in f.bindings]]
            for f in self.functions
        ]
        return "fnpack-" + hashlib.sha256(json.dumps(shape, sort_keys=True).encode()).hexdigest()[:24]


def _disabled(name: str, settings: Settings) -> bool:
    return settings.flag(f"AzureWebJobs.{name}.Disabled") or settings.flag(f"AzureWebJobs_{name}_Disabled")


def _v2_script(root: Path, settings: Settings) -> Path | None:
    name = settings.get(V2_SCRIPT_SETTING, "").strip()
    if name and not _V2_SCRIPT_NAME.fullmatch(name):
        raise AppDirectoryError(
            f"setting {V2_SCRIPT_SETTING} is `{name}`, which is not the name of a Python file",
            hint=f"name a file in the app's folder, such as {V2_SCRIPT}",
        )
    script = root / (name or V2_SCRIPT)
    return script if script.is_file() else None


def _worker_facts(function: Function) -> dict[str, object]:
    bindings = [
        {"name": b.name, "type": b.type, "direction": b.direction, "dataType": b.text("dataType")}
        for b in function.bindings
    ]
    return {
        "name": function.name,
        "directory": str(function.directory),
        "script": str(function.script_file),
        "entry_point": function.entry_point,
        "bindings": bindings,
    }


def _indexed_function(entry: Mapping[str, Json], script: Path) -> Function:
    name, content = str(entry["name"]), entry["content"]
    function = Function(name, Path(str(entry["directory"])), script_file=script)
    try:
        _check_name(name)
        assert isinstance(content, dict)
        function = replace(function, bindings=_bindings(content.get("bindings")))
        return replace(function, retry=_retry(content.get("retry"), "retry"))
    except FnpackError as error:
        return replace(function, error=str(error))


def _check_name(name: str) -> None:
    if not _FUNCTION_NAME.match(name) or name.lower() == "host":
        raise FunctionLoadError(
            f"`{name}` is no function name: a letter, then letters, digits, `-` or `_`, and not `host`"
        )


def _read_function(folder: Path) -> Function:
    function = Function(folder.name, folder)
    try:
        _check_name(folder.name)
        content = {key.lower(): value for key, value in read_json_object(folder / "function.json").items()}
        function = replace(
            function,
            bindings=_bindings(content.get("bindings")),
            is_scoring=content.get("generatedby") == SCORING_MARK,
            retry=_retry(content.get("retry"), "function.json: retry"),
        )
        return replace(function, script_file=_script_file(folder, content), entry_point=_entry_point(content))
    except FnpackError as error:
        return replace(function, error=str(error))


def _bindings(raw: Json) -> tuple[Binding, ...]:
    if not isinstance(raw, list) or not raw:
        raise FunctionLoadError("function.json: `bindings` must be a list with at least one entry")
    bindings = tuple(
        _binding(f"function.json: bindings[{number}]", entry) for number, entry in enumerate(raw)
    )
    names = [binding.name.lower() for binding in bindings]
    for name in names:
        if names.count(name) > 1:
            raise FunctionLoadError(f"function.json: two bindings are named `{name}`")
    triggers = [binding for binding in bindings if binding.is_trigger]
    if len(triggers) != 1:
        raise FunctionLoadError(f"function.json: {len(triggers)} triggers, but a function has exactly one")
    return bindings


def _binding(where: str, raw: Json) -> Binding:
    if not isinstance(raw, dict):
        raise FunctionLoadError(f"{where} must be an object")
    values: Mapping[str, Json] = {key.lower(): value for key, value in raw.items()}
    texts: dict[str, str] = {}
    for key in ("name", "type"):
        value = values.get(key)
        if not isinstance(value, str) or not value:
            raise FunctionLoadError(f"{where}.{key} is missing or not a string")
        texts[key] = value
    if not _BINDING_NAME.match(texts["name"]):
        raise FunctionLoadError(
            f"{where}.name `{texts['name']}` is not allowed: letters and digits, or $return"
        )
    direction = values.get("direction", "in" if texts["type"].lower().endswith("trigger") else None)
    if not isinstance(direction, str) or direction.lower() not in ("in", "out"):
        raise FunctionLoadError(f"{where}.direction is {direction!r}, but must be in or out")
    kind = texts["type"].lower()
    if kind == "http" and direction.lower() == "in":
        raise FunctionLoadError(f"{where}: an http binding is an output; the input is an httpTrigger")
    rest = {key: value for key, value in values.items() if key not in ("name", "type", "direction")}
    return Binding(texts["name"], kind, direction.lower(), rest)


def _retry(raw: Json, where: str) -> RetryPolicy | None:
    if raw is None:
        return None
    if not isinstance(raw, dict):
        raise FunctionLoadError(f"{where} must be an object")
    if problems := retry_problems(raw):
        raise FunctionLoadError("; ".join(f"{where}.{problem}" for problem in problems))
    return read_retry(raw)


def _script_file(folder: Path, content: Mapping[str, Json]) -> Path:
    name = content.get("scriptfile")
    if name is not None and not isinstance(name, str):
        raise FunctionLoadError("function.json: scriptFile must be a string")
    if name:
        path = folder / name
        if not path.is_file():
            raise FunctionLoadError(f"function.json: scriptFile {name} does not exist")
        return path
    scripts = sorted(folder.glob("*.py"))
    others = [path for path in folder.iterdir() if path.is_file() and path.name != "function.json"]
    if len(scripts) == 1 and len(others) == 1:
        return scripts[0]
    for wanted in ("run.py", "__init__.py"):
        if folder / wanted in scripts:
            return folder / wanted
    raise FunctionLoadError("no script: function.json has no scriptFile and the folder has no __init__.py")


def _entry_point(content: Mapping[str, Json]) -> str:
    name = content.get("entrypoint", "main") or "main"
    if not isinstance(name, str):
        raise FunctionLoadError("function.json: entryPoint must be a string")
    return name
