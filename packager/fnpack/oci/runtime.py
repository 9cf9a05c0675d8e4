"""How an image runs, for each function host: environment, user, command, health check."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fnpack.image.dockerfile import Host

WWWROOT = "/home/site/wwwroot"
SITE_PACKAGES = f"{WWWROOT}/.python_packages/lib/site-packages"
HOST_ROOT = "/opt/fnpack"
_SECOND_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Runtime:
    """What an image's config says beyond its base's. Nothing of the base is lost but what is named here.

    `variables` are added to the base's environment. `settings` replace keys of the config, as Docker writes them.
    """

    variables: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, object] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    ports: tuple[str, ...] = ()


def runtime(host: Host, labels: Mapping[str, str], python: str = "python3") -> Runtime:
    """What the Dockerfile of this host says. `python` is the interpreter that runs fnpack's host.

    Packages lie in `.python_packages`, where the worker of Azure Functions looks for them in the cloud; PYTHONPATH
    says so for containers elsewhere, whose worker does not look there by itself.
    """
    if host == "azure-functions":
        variables = {
            "AzureFunctionsJobHost__Logging__Console__IsEnabled": "true",
            "AzureWebJobsScriptRoot": WWWROOT,
            "PYTHONPATH": SITE_PACKAGES,
        }
        return Runtime(variables, labels=labels)
    variables = {
        "AzureWebJobsScriptRoot": WWWROOT,
        "FNPACK_PORT": "8080",
        "HOME": "/tmp",  # noqa: S108 - in the image
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": HOST_ROOT,
        "PYTHONUNBUFFERED": "1",
    }
    settings: dict[str, object] = {
        "Cmd": None,  # the base's would become arguments of the host
        "Entrypoint": [python, "-m", "fnpack_host"],
        "Healthcheck": {
            "Interval": 10 * _SECOND_NS,
            "Retries": 3,
            "StartPeriod": 120 * _SECOND_NS,
            "Test": ["CMD", python, "-m", "fnpack_host.healthcheck"],
            "Timeout": 5 * _SECOND_NS,
        },
        "StopSignal": "SIGTERM",
        "User": "10001:10001",
        "WorkingDir": WWWROOT,
    }
    return Runtime(variables, settings, labels, ("8080/tcp",))
