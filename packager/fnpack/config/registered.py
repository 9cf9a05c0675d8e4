"""Environments that the SDK registered in a workspace, for inference configurations that name one by its reference."""

from __future__ import annotations

from pathlib import Path

from fnpack.config.json_text import read_json_object
from fnpack.config.problems import Problems
from fnpack.errors import FnpackError

FOLDER = "environments"
DEFINITION = "azureml_environment.json"
CONDA_FILE = "conda_dependencies.yml"


def registered_environment(
    folder: Path, name: str, version: str | None
) -> tuple[Path, dict[str, object]] | None:
    """The definition of an environment, by default of its latest version, and its file; None if there is none.

    `folder` is where the workspace is looked for.
    """
    from fnpack.workspace_folder import find

    try:
        workspace = find(folder, make=False)
    except FnpackError:
        return None
    if workspace is None or "/" in name or name.startswith("."):
        return None
    home = workspace.path / FOLDER / name
    versions = [path.name for path in home.glob("*") if path.name.isdecimal()]
    if not versions or (version is not None and version not in versions):
        return None
    file = home / (version or max(versions, key=int)) / DEFINITION
    try:
        data: dict[str, object] = dict(read_json_object(file, Problems()))
    except FnpackError:
        return None
    if (file.parent / CONDA_FILE).is_file():
        python = data.get("python")
        data["python"] = {
            **(python if isinstance(python, dict) else {}),
            "condaDependenciesFile": str(file.parent / CONDA_FILE),
        }
    return file, data
