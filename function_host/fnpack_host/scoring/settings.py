"""What variables, and SDK v1's config.json, say to the adapter. No other module of it reads either."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .errors import EntryScriptError

STRICT = "FNPACK_SDK_V1_STRICT"


@dataclass(frozen=True)
class Settings:
    """The adapter's settings. A variable wins over the file."""

    strict: bool = False  # every case as in SDK v1's server, also where that is worse
    timeout_ms: int | None = None
    service_name: str = "ML service"
    service_version: str = "1.0"
    path_prefix: str = ""  # of the paths in API documents: "" or "/..." without a slash at its end
    cors_origins: tuple[str, ...] = ()
    shows_version: bool = True  # whether answers name the server's version
    log_level: str = ""

    @classmethod
    def read(cls, app_root: Path, script: Path) -> Settings:
        """Read the environment, and config.json beside the app or the script. Raises EntryScriptError."""
        file = _config_file(app_root, script)

        def text(name: str, default: str = "") -> str:
            value = os.environ.get(name) or file.get(name)
            return default if value is None else str(value).strip()

        prefix = text("SERVICE_PATH_PREFIX").strip("/")
        origins = tuple(origin.strip() for origin in text("AML_CORS_ORIGINS").split(","))
        return cls(
            strict=text(STRICT).lower() in ("1", "true"),
            timeout_ms=_milliseconds(text("SCORING_TIMEOUT_MS")),
            service_name=text("SERVICE_NAME", cls.service_name),
            service_version=text("SERVICE_VERSION", cls.service_version),
            path_prefix=f"/{prefix}" if prefix else "",
            cors_origins=tuple(origin for origin in origins if origin),
            shows_version=text("SERVER_VERSION_LOG_RESPONSE_ENABLED", "true").lower() == "true",
            log_level=text("AZUREML_LOG_LEVEL").upper(),
        )


def _milliseconds(text: str) -> int | None:
    if not text:
        return None
    if not text.isdecimal() or not 0 < int(text) < 2**31:
        raise EntryScriptError(
            f"SCORING_TIMEOUT_MS is {text!r}, but must be a whole number of milliseconds above 0"
        )
    return int(text)


def _config_file(app_root: Path, script: Path) -> Mapping[str, object]:
    """The object in the configuration file. One that AZUREML_CONFIG_FILE names must be readable.

    A `config.json` that is something else (a model's, a workspace's) has none of the names and does no harm.
    """
    named = os.environ.get("AZUREML_CONFIG_FILE", "")
    for path in (Path(named),) if named else (app_root / "config.json", script.parent / "config.json"):
        try:
            content = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError) as error:
            if named:
                raise EntryScriptError(f"AZUREML_CONFIG_FILE: {path} cannot be read: {error}") from error
            continue
        if isinstance(content, dict):
            return content
    return {}
