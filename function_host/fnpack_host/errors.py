"""What can go wrong in the host, as facts. Codes FN2xx; those that keep the host from starting exit with 3."""

from __future__ import annotations

from pathlib import Path

from fnpack_triggers.errors import (
    BindingError,
    ConnectionSettingError,
    FnpackError,
    PatternError,
    ServiceError,
)

__all__ = [
    "AppDirectoryError",
    "BindingError",
    "ConnectionSettingError",
    "FnpackError",
    "FunctionLoadError",
    "HostJsonError",
    "HostStartError",
    "PatternError",
    "PortTakenError",
    "ServiceError",
    "WorkerStartError",
]


class HostStartError(FnpackError):
    """The host cannot start."""

    code = "FN200"
    exit_code = 3


class AppDirectoryError(HostStartError):
    """The folder is no function app, or a file of it cannot be read."""

    code = "FN201"
    hint = "correct that file, or write the app again with `fnpack build --app-only DIR`"


class HostJsonError(HostStartError):
    """host.json or local.settings.json holds a value that is not allowed; the text names key, value and range."""

    code = "FN202"


class FunctionLoadError(FnpackError):
    """One function of the app cannot be loaded; the others still are."""

    code = "FN203"


class PortTakenError(HostStartError):
    """The port to listen on cannot be had."""

    code = "FN210"

    def __init__(self, host: str, port: int, reason: str) -> None:
        super().__init__(
            f"cannot listen on {host}:{port}: {reason}",
            hint="choose another port with --port (0 takes any free one), or stop what listens there",
        )


class WorkerStartError(HostStartError):
    """A worker process did not come up: the entry script failed to import or its init() raised."""

    code = "FN220"

    def __init__(self, app_root: Path, reason: str, *, hint: str | None = None) -> None:
        super().__init__(f"the worker for {app_root} did not start: {reason}", hint=hint)
