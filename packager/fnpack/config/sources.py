"""Finds what goes into the app: entry script, source directory, models."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from fnpack.config.files import label
from fnpack.config.options import Setting
from fnpack.config.problems import Problems
from fnpack.config.project import RawSettings
from fnpack.config.suggest import did_you_mean, names_near
from fnpack.errors import FnpackError
from fnpack.spec import ModelSource

if TYPE_CHECKING:
    from fnpack.config.inference import InferenceConfig

_MODEL_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._-]{0,254}")  # Azure ML's rule
_MODEL_NAME_RULE = "a model's name has 1 to 255 letters, digits, `-`, `_` and `.`, a letter or digit first"


class ModelFinder(Protocol):
    """Finds models that are not given by a path: in a registry, in MLflow."""

    def find(self, text: str) -> ModelSource | None:
        """The model that `text` refers to; None where it can only be a path. Raises FnpackError."""

    def names(self) -> Sequence[str]:
        """The names that could be given, for suggestions."""


def absolute(folder: Path, text: str) -> Path:
    """The absolute path that `text` means in `folder`, without `..`; symbolic links stay."""
    return Path(os.path.normpath(folder.absolute() / text))


def names_script(raw: RawSettings, config: InferenceConfig | None) -> bool:
    """Whether an entry script is named, or anything that needs one: a source directory, or no model at all."""
    if raw.get("entry_script") is not None or raw.get("model") is None:
        return True
    if config is None:  # a configuration that cannot be read may name one
        return raw.get("inference_config") is not None or raw.get("source_directory") is not None
    return config.entry_script is not None or _source_directory(raw, config)[0] is not None


def find_script(
    raw: RawSettings, config: InferenceConfig | None, problems: Problems
) -> tuple[Path | None, Path | None]:
    """The entry script and the source directory, which holds it.

    A script's path is relative to the source directory if there is one and it is there, as in Azure ML; else to
    where the option was given.
    """
    directory, directory_source = _source_directory(raw, config)
    if directory is not None and not directory.is_dir():
        what = (
            f"`{label(directory)}` is not a folder"
            if directory.exists()
            else f"there is no folder `{label(directory)}`"
        )
        problems.add(directory_source, what, names_near(directory))
        return None, None
    setting = raw.get("entry_script")
    if setting is not None and isinstance(setting.value, str):
        folders = [directory, setting.folder] if directory else [setting.folder]
        candidates = [absolute(folder, setting.value) for folder in folders]
        source = setting.source
    elif config is not None and config.entry_script is not None:
        candidates = [absolute(directory or config.folder, config.entry_script)]
        source = f"{config.file}: entryScript"
    else:
        if config is None and raw.get("inference_config") is not None:
            return None, directory  # it may be named there, but the file has problems of its own
        what = "no entry script is given"
        problems.add(
            "--entry-script",
            what,
            "give the file that has init() and run(), or `entryScript` in --inference-config; a model of a known "
            "format is served without one: `--model` alone",
        )
        return None, directory
    script = next((path for path in candidates if path.exists()), None)
    if script is None:
        near = next((found for path in candidates if (found := names_near(path))), None)
        problems.add(source, f"there is no file `{label(candidates[0])}`", near)
    elif not script.is_file():
        problems.add(source, f"`{label(script)}` is a folder", "name the file that has init() and run()")
    elif script.suffix != ".py":
        problems.add(source, f"`{label(script)}` is not a Python file", "an entry script ends in `.py`")
    elif directory is not None and not script.is_relative_to(directory):
        what = f"`{label(script)}` is not inside the source directory `{label(directory)}`"
        problems.add(source, what, "move it there, or leave the source directory out")
    else:
        return script, directory
    return None, directory


def find_models(
    raw: RawSettings, problems: Problems, finder: ModelFinder | None = None
) -> tuple[ModelSource, ...]:
    """The models, each `[NAME=]PATH` or, with a `finder`, `[NAME=]REFERENCE`; a path that exists wins.

    Without a name a file's is its name without its ending, and a referred model's is its own.
    """
    setting = raw.get("model")
    if setting is None or not isinstance(setting.value, tuple):
        return ()
    models: dict[str, ModelSource] = {}
    for text in setting.value:
        model = _model(setting, text, problems, finder)
        if model is None:
            continue
        if model.name in models:
            problems.add(
                setting.source, f"two models are named `{model.name}`", "name one of them: `OTHER=PATH`"
            )
        models[model.name] = model
    return tuple(models.values())


def _source_directory(raw: RawSettings, config: InferenceConfig | None) -> tuple[Path | None, str]:
    setting = raw.get("source_directory")
    if setting is not None and isinstance(setting.value, str):
        return absolute(setting.folder, setting.value), setting.source
    if config is not None and config.source_directory is not None:
        return absolute(config.folder, config.source_directory), f"{config.file}: sourceDirectory"
    return None, ""


def _model(setting: Setting, text: str, problems: Problems, finder: ModelFinder | None) -> ModelSource | None:
    name, path_text = _split(text)
    if not path_text:
        problems.add(setting.source, f"`{text}` has no path", "write `NAME=PATH` or `PATH`")
        return None
    path = absolute(setting.folder, path_text)
    if not _is_there(path):
        return _referred(setting, name, path_text, problems, finder)
    whole = absolute(setting.folder, text)
    if name is not None and _is_there(whole):
        what = f"`{text}` is a file, and it can be read as `{path_text}` under the name `{name}` too"
        problems.add(
            setting.source, what, f"write `./{text}` for the first, `{name}=./{path_text}` for the second"
        )
        return None
    own_name = name is not None
    if name is None:
        name = path.stem if path.is_file() else path.name
    if not _MODEL_NAME.fullmatch(name):
        suggestion = _MODEL_NAME_RULE if own_name else f"give a name, `NAME={path_text}`: {_MODEL_NAME_RULE}"
        problems.add(setting.source, f"`{name}` cannot be the name of a model", suggestion)
        return None
    if path.is_dir() and not any(path.iterdir()):
        problems.add(setting.source, f"the model's folder `{label(path)}` is empty")
        return None
    return ModelSource(name, path)


def _is_there(path: Path) -> bool:
    """Whether the path exists; a text that can be no path (too long, a NUL) does not."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def _referred(
    setting: Setting, name: str | None, text: str, problems: Problems, finder: ModelFinder | None
) -> ModelSource | None:
    """A model that is not at a path of this machine."""
    path = absolute(setting.folder, text)
    near = names_near(path)
    try:
        found = finder.find(text) if finder is not None else None
        if found is None and near is None and finder is not None:
            near = did_you_mean(text, finder.names())
    except FnpackError as error:
        problems.add(setting.source, str(error), error.hint)
        return None
    if found is None:
        problems.add(setting.source, f"there is no model `{label(path)}`", near)
        return None
    if name is None:
        return found
    if not _MODEL_NAME.fullmatch(name):
        problems.add(setting.source, f"`{name}` cannot be the name of a model", _MODEL_NAME_RULE)
        return None
    return found._replace(name=name)


def _split(text: str) -> tuple[str | None, str]:
    """Name and path. A `=` after a `/` belongs to the path (`runs/lr=0.1/model.pkl`)."""
    name, equals, path = text.partition("=")
    if not equals or "/" in name or "\\" in name:
        return None, text.strip()
    return name.strip(), path.strip()
