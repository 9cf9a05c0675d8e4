"""An app without an entry script: the built-in one for its model, and the packages that the model's file names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from fnpack.config.conda import package_name
from fnpack.config.problems import Problems
from fnpack.config.requirements import distribution
from fnpack.spec import Environment, ModelSource

if TYPE_CHECKING:
    from fnpack.no_code.found import Found

# Packages of which one does what the others do.
_SAME = (
    frozenset({"xgboost", "xgboost-cpu", "py-xgboost"}),
    frozenset({"torch", "pytorch"}),
    frozenset({"tensorflow", "tensorflow-cpu"}),
    frozenset({"onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino", "onnxruntime-directml"}),
    frozenset({"mlflow", "mlflow-skinny"}),
)
# What a registered model may say of its framework, for files that say no version.
_REGISTERED = {
    "TorchScript": ("pytorch",),
    "LightGBM": ("lightgbm",),
    "scikit-learn": ("scikitlearn", "sklearn"),
}


class BuiltIn(NamedTuple):
    """A script that fnpack made, and what it was made for."""

    script: Path
    found: Found


def built_in_script(models: Sequence[ModelSource], problems: Problems) -> BuiltIn | None:
    """The script for the one model; None with the reason noted, where there is none for it."""
    from fnpack.no_code import find
    from fnpack.no_code.found import NoCodeError
    from fnpack.no_code.script import kept, script_for

    if not models:
        return None  # what is wrong with it has been noted
    if len(models) > 1:
        named = ", ".join(f"`{model.name}`" for model in models)
        what = f"there are {len(models)} models ({named}) and no entry script, which would have to choose"
        problems.add("--model", what, "give one model, or a script with init() and run(): --entry-script")
        return None
    try:
        found, inner = find(models[0].path)
    except NoCodeError as error:
        problems.add("--model", f"no entry script is given, and {error}", error.hint)
        return None
    return BuiltIn(kept(script_for(found, inner)), _as_registered(found, models[0]))


def with_packages(environment: Environment, found: Found, model: ModelSource) -> Environment:
    """The environment with the packages that the model needs; those that the user names stay as they are."""
    if environment.user_managed:
        return environment
    specs = environment.conda.specs if environment.conda is not None else ()
    named = {distribution(line) for line in environment.requirements} | {package_name(spec) for spec in specs}
    taken = named.union(*(group for group in _SAME if group & named))
    added = tuple(line for line in found.requirements if distribution(line) not in taken)
    source = f"the model {model.name}"
    if named:
        source = f"{environment.requirements_source} and {source}"
    return environment._replace(
        requirements=environment.requirements + added,
        requirements_source=source,
        notes=environment.notes + (found.notes if added else ()),
    )


def _as_registered(found: Found, model: ModelSource) -> Found:
    """With the version that the model was registered with, where its file says none."""
    from fnpack.no_code.scikit_learn import pinned

    framework = (model.framework or "").casefold().replace("-", "").replace("_", "").replace(" ", "")
    if found.version or not model.framework_version or framework not in _REGISTERED.get(found.framework, ()):
        return found
    first, *others = found.requirements
    line = pinned(distribution(first), model.framework_version)
    from dataclasses import replace

    return replace(found, version=model.framework_version, requirements=(line, *others))
