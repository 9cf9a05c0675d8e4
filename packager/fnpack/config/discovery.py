"""Files of a project that count without being named: `inferenceconfig.json`, `score.py`, `requirements.txt`."""

from __future__ import annotations

from pathlib import Path

from fnpack.config.options import Rank, Setting
from fnpack.config.project import RawSettings

INFERENCE_CONFIG = "inferenceconfig.json"
ENTRY_SCRIPT = "score.py"
REQUIREMENTS = "requirements.txt"
_PROJECT_FILES = ("fnpack.toml", ENTRY_SCRIPT, INFERENCE_CONFIG)
_APP_FILES = ("host.json", "function_app.py")


def project_file(folder: Path) -> str | None:
    """The file by which `folder` is a project, from which an app is yet to be made; None where it is none."""
    if any((folder / name).is_file() for name in _APP_FILES) or any(folder.glob("*/function.json")):
        return None
    found = next((name for name in _PROJECT_FILES if (folder / name).is_file()), None)
    other = folder / "pyproject.toml"
    if found is None and other.is_file() and b"[tool.fnpack" in other.read_bytes():
        return other.name
    return found


def discover(raw: RawSettings, project: Path) -> RawSettings:
    """`raw` with what `project` holds under the usual names, where nothing was said.

    An inference configuration says both script and packages, so it is taken only if neither was given, and then
    the other two are left alone.
    """
    found: dict[str, str] = {}
    given = raw.get("inference_config") is not None
    alone = raw.get("entry_script") is None and raw.get("requirements") is None
    if not given and alone and (project / INFERENCE_CONFIG).is_file():
        found["inference_config"] = INFERENCE_CONFIG
    elif not given:
        if raw.get("entry_script") is None and (project / ENTRY_SCRIPT).is_file():
            found["entry_script"] = ENTRY_SCRIPT
        if raw.get("requirements") is None and (project / REQUIREMENTS).is_file():
            found["requirements"] = REQUIREMENTS
    values = {
        name: Setting(name, value, f"{value} (found)", project, Rank.FILE) for name, value in found.items()
    }
    return RawSettings({**values, **raw.values}, raw.cwd)
