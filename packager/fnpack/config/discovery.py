"""Files of a project that count without being named: `inferenceconfig.json`, `score.py`, `requirements.txt`."""

from __future__ import annotations

from pathlib import Path

from fnpack.config.options import Rank, Setting
from fnpack.config.project import RawSettings

INFERENCE_CONFIG = "inferenceconfig.json"
ENTRY_SCRIPT = "score.py"
REQUIREMENTS = "requirements.txt"


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
