"""Writes the function-app directory, whole or not at all: the one contract between packager and function host."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import fnpack_host
from fnpack.app.entry_script import EntryScript, EntryScriptError, check_entry_script
from fnpack.app.functions import Function, functions
from fnpack.app.staging import check_target, copy_file, make_folder, staged, write_text
from fnpack.app.tree import model_files, source_files
from fnpack.spec import AppSpec, ModelSource
from fnpack_triggers.errors import FnpackError

MARKER = "scoring.json"  # every app directory that fnpack wrote has it
MODELS = "azureml-models"
ADAPTER = "fnpack_scoring"
_EXTENSION_BUNDLE = {"id": "Microsoft.Azure.Functions.ExtensionBundle", "version": "[4.*, 5.0.0)"}
_MODEL_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,254}$")
_SETTING_NAME = re.compile(r"^[A-Za-z_][A-Za-z0-9_]*$")


class LayoutError(FnpackError):
    """The parts of an app get into each other's way, or have names that an app cannot hold."""

    code = "FN335"


class ModelError(FnpackError):
    """A model is missing, or its name or version is not usable."""

    code = "FN338"


class FunctionApp(NamedTuple):
    """What was written, for a summary to print."""

    path: Path
    entry_script: str  # posix path below `path`
    models: tuple[str, ...]  # "name:version"
    functions: tuple[Function, ...]

    @property
    def settings(self) -> tuple[str, ...]:
        """The settings that the functions need at run time, each once."""
        return tuple(dict.fromkeys(setting for function in self.functions for setting in function.settings))


def write_app(
    spec: AppSpec, target: Path, *, lock_text: str, place: Callable[[Path, Path], None] = copy_file
) -> FunctionApp:
    """Write the app that `spec` describes to the folder `target`, with `lock_text` as its requirements.txt.

    Every fault is found before anything is written. The same input gives the same files, byte for byte. An
    earlier app at `target` is replaced; a folder that fnpack did not write is refused. `place` puts a model file
    there: a copy, which can be edited without changing the original, or a link in a folder that nobody will see.
    """
    target = target.absolute()
    check_target(target, marker=MARKER)
    script = check_entry_script(spec.entry_script)
    built = functions(spec.triggers, script, spec.outputs)
    _check_source_directory(spec, built)
    _check_models(spec.models)
    _check_variables(spec.environment.variables)
    app = FunctionApp(target, _script_path(spec), tuple(f"{m.name}:{m.version}" for m in spec.models), built)
    with staged(target, marker=MARKER) as folder:
        _write_settings(folder, spec, app, lock_text)
        _write_functions(folder, built)
        _write_adapter(folder)
        _write_sources(folder, spec, script, leave_out=(target, folder))
        _write_models(folder, spec.models, place)
    return app


def _script_path(spec: AppSpec) -> str:
    if spec.source_directory is None:
        return spec.entry_script.name
    try:
        inside = spec.entry_script.resolve().relative_to(spec.source_directory.resolve())
    except ValueError:
        raise EntryScriptError(
            f"{spec.entry_script}: the entry script is not inside the source directory {spec.source_directory}",
            hint="move it there, or leave the source directory out",
        ) from None
    return PurePosixPath(spec.source_directory.name, *inside.parts).as_posix()


def _check_source_directory(spec: AppSpec, built: Sequence[Function]) -> None:
    source = spec.source_directory
    if source is None:
        return
    if not source.is_dir():
        raise LayoutError(f"{source}: the source directory does not exist", hint="give the path of a folder")
    taken = {function.name for function in built} | {MODELS, ADAPTER, "host", "azure"}
    if source.name.lower() in taken or source.name.startswith(".") or not source.name:
        raise LayoutError(
            f"{source}: an app cannot hold a source directory named `{source.name}`, since the name is needed for "
            "something else",
            hint="rename the folder, for example to `src`",
        )
    if (source / "function.json").is_file():
        raise LayoutError(
            f"{source}: holds a function.json, so the function host would take it for a function",
            hint="move function.json out of the source directory",
        )


def _check_models(models: Sequence[ModelSource]) -> None:
    seen = set()
    for model in models:
        if not _MODEL_NAME.match(model.name):
            raise ModelError(
                f"`{model.name}` cannot be a model's name",
                hint="use letters, digits, `-`, `.` and `_`, beginning with a letter or digit, at most 255",
            )
        if not model.version.isdecimal():
            raise ModelError(
                f"model {model.name}: `{model.version}` cannot be its version",
                hint="use a whole number, as in 1",
            )
        if not model.path.exists():
            raise ModelError(
                f"model {model.name}: {model.path} does not exist", hint="give the path of a file or folder"
            )
        key = (model.name.lower(), model.version)
        if key in seen:
            raise ModelError(
                f"model {model.name}:{model.version} is given twice",
                hint="give each model a name or version of its own",
            )
        seen.add(key)


def _check_variables(variables: Mapping[str, str]) -> None:
    for name in variables:
        if not _SETTING_NAME.match(name):
            raise LayoutError(
                f"`{name}` cannot be an environment variable's name",
                hint="use letters, digits and underscores",
            )


def _write_settings(folder: Path, spec: AppSpec, app: FunctionApp, lock_text: str) -> None:
    host: dict[str, object] = {"version": "2.0", "logging": {"logLevel": {"default": "Information"}}}
    types = {binding["type"] for function in app.functions for binding in function.bindings}
    if types - {"httpTrigger", "http"}:
        host["extensionBundle"] = _EXTENSION_BUNDLE
    source = spec.source_directory
    scoring = {
        "schema_version": 1,
        "entry_script": app.entry_script,
        "source_directory": None if source is None else source.name,
        "models": [
            {"name": model.name, "version": model.version, "path": f"{MODELS}/{model.name}/{model.version}"}
            for model in spec.models
        ],
        "environment": dict(sorted(spec.environment.variables.items())),
    }
    write_text(folder / "host.json", _json(host))
    write_text(folder / "scoring.json", _json(scoring))
    write_text(folder / "requirements.txt", lock_text)


def _write_functions(folder: Path, built: Sequence[Function]) -> None:
    for function in built:
        write_text(folder / function.name / "function.json", _json(function.definition()))
        write_text(folder / function.name / "__init__.py", function.source)


def _write_adapter(folder: Path) -> None:
    source = Path(str(fnpack_host.__file__)).parent / "scoring"
    for path in sorted(source.glob("*.py")):
        write_text(folder / ADAPTER / path.name, path.read_text("utf-8"))


def _write_sources(folder: Path, spec: AppSpec, script: EntryScript, *, leave_out: Sequence[Path]) -> None:
    if spec.source_directory is None:
        copy_file(script.path, folder / script.path.name)
        return
    root = folder / spec.source_directory.name
    for entry in source_files(spec.source_directory, without=leave_out):
        copy_file(entry.source, root / entry.relative)
    if not (folder / _script_path(spec)).is_file():
        raise EntryScriptError(
            f"{spec.entry_script}: the entry script is left out by an ignore file of {spec.source_directory}",
            hint="take it back with a line such as `!score.py`",
        )


def _write_models(folder: Path, models: Sequence[ModelSource], put: Callable[[Path, Path], None]) -> None:
    """Lay models out as SDK v1 did: a file keeps its name, a folder keeps its own name as one more level."""
    for model in models:
        place = folder / MODELS / model.name / model.version
        name = model.path.absolute().name or model.path.resolve().name
        if not model.path.is_dir():
            put(model.path, place / name)
            continue
        make_folder(place / name)
        for entry in model_files(model.path):
            put(entry.source, place / name / entry.relative)


def _json(value: Mapping[str, object]) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
