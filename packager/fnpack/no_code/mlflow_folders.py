"""MLflow models: what the folder's MLmodel and requirements.txt say."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import cast

from fnpack.config.requirements import distribution
from fnpack.no_code.found import Found, NoCodeError, counted

_FILE = "MLmodel"
# Loaders for which mlflow-skinny, with pandas, does what mlflow does.
_SKINNY = (
    "mlflow.sklearn",
    "mlflow.xgboost",
    "mlflow.lightgbm",
    "mlflow.onnx",
    "mlflow.pytorch",
    "mlflow.tensorflow",
    "mlflow.pyfunc.model",
    "mlflow.statsmodels",
    "mlflow.catboost",
)
_NOT_NEEDED = frozenset({"pytest", "ipykernel", "ipython", "jupyter", "notebook"})


def matches(path: Path) -> bool:
    """Whether it is a folder with MLmodel."""
    return (path / _FILE).is_file()


def find(path: Path) -> Found:
    """Loader, packages and columns. Raises NoCodeError for a model without the flavour python_function."""
    import yaml

    try:
        model = yaml.safe_load((path / _FILE).read_text("utf-8"))
    except (yaml.YAMLError, ValueError) as error:
        raise NoCodeError(
            f"`{path.name}/{_FILE}` cannot be read: {error}", hint="save the model again"
        ) from error
    flavors = model.get("flavors") if isinstance(model, dict) else None
    python = flavors.get("python_function") if isinstance(flavors, dict) else None
    if not isinstance(flavors, dict) or not isinstance(python, dict):
        named = ", ".join(f"`{name}`" for name in flavors) if isinstance(flavors, dict) else "none"
        raise NoCodeError(
            f"`{path.name}` has the MLflow flavours {named}, and no `python_function`",
            hint="save it with a flavour that Python can load, or give an entry script",
        )
    loader = str(python.get("loader_module", ""))
    version = str(model["mlflow_version"]) if "mlflow_version" in model else None
    inputs = _signature(model.get("signature"))
    other = [name for name in flavors if name != "python_function"]
    about = ", ".join(part for part in (*other, counted(len(inputs) or None, "input")) if part)
    return Found(
        "MLflow",
        version,
        "mlflow_model",
        _requirements(path, loader, version),
        {"INPUTS": inputs},
        about,
        _python_version(path, python),
    )


def _signature(signature: object) -> list[dict[str, object]]:
    """The inputs of the signature as MLflow writes them; [] where there is none."""
    text = signature.get("inputs") if isinstance(signature, dict) else None
    try:
        found = json.loads(text) if isinstance(text, str) else []
    except ValueError:
        return []
    return [dict(one) for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _requirements(path: Path, loader: str, version: str | None) -> tuple[str, ...]:
    """The model's own list, less what serving has no need of; mlflow-skinny in the place of mlflow where it does."""
    file = path / "requirements.txt"
    given = file.read_text("utf-8").splitlines() if file.is_file() else _of_conda(path)
    lines: list[str] = []
    for line in given:
        text = re.sub(r"(^|\s)#.*$", "", line).strip()
        name = distribution(text)
        if not text or name in _NOT_NEEDED:
            continue
        if text.startswith("-") or not name:
            raise NoCodeError(
                f"`{path.name}/requirements.txt`: `{text}` is no plain requirement",
                hint="name the packages with --requirements, and remove the line there",
            )
        if name == "mlflow" and loader.startswith(_SKINNY):
            text = "mlflow-skinny" + re.sub(r"^mlflow(\[[^\]]*\])?", "", text)
        lines.append(text)
    names = {distribution(line) for line in lines}
    if not names & {"mlflow", "mlflow-skinny"}:
        lines.insert(0, f"mlflow-skinny=={version}" if version else "mlflow-skinny")
    lines += [package for package in ("numpy", "pandas") if package not in names]
    return tuple(lines)


def _of_conda(path: Path) -> list[str]:
    """The pip packages of conda.yaml."""
    import yaml

    file = path / "conda.yaml"
    if not file.is_file():
        return []
    try:
        data = yaml.safe_load(file.read_text("utf-8"))
    except (yaml.YAMLError, ValueError) as error:
        raise NoCodeError(f"`{path.name}/conda.yaml` cannot be read: {error}") from error
    found = data.get("dependencies") if isinstance(data, dict) else None
    return [
        str(line)
        for one in (found if isinstance(found, list) else [])
        if isinstance(one, dict)
        for line in cast("list[object]", one.get("pip") or [])
    ]


def _python_version(path: Path, python: dict[str, object]) -> str | None:
    found = re.match(r"3\.\d+", str(python.get("python_version", "")))
    return found[0] if found else None
