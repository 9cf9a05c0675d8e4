"""What goes where in the image of a function app, and its settings: as in the Dockerfiles of `fnpack_templates`."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

import fnpack_host
import fnpack_triggers
from fnpack.app.directory import MODELS
from fnpack.oci.image import ImageSettings
from fnpack.oci.tree_layers import FilesRecipe, files_below

ROOT = "home/site/wwwroot"
SITE_PACKAGES = f"{ROOT}/.python_packages/lib/site-packages"  # where both hosts look for the app's packages
HOST_FOLDER = "opt/fnpack"
USER = "10001:10001"
_SECOND_NS = 1_000_000_000


def host_recipe(python_version: str, notes: Path | None = None) -> FilesRecipe:
    """fnpack's own host: a layer of its modules, compiled. Their digests are remembered in the folder `notes`."""
    files = {f"{HOST_FOLDER}/{relative}": path for relative, path in host_files()}
    return FilesRecipe(files, "fnpack's function host", python_version, notes / "host" if notes else None)


def app_recipe(app: Path) -> FilesRecipe:
    """The app directory without models, which are layers of their own."""
    files = {f"{ROOT}/{relative}": path for relative, path in app_files(app, {MODELS})}
    return FilesRecipe(files, "app")


def host_files() -> Iterator[tuple[str, Path]]:
    """The modules of fnpack's host, with their paths in its folder."""
    for package in (fnpack_host, fnpack_triggers):
        root = Path(str(package.__file__)).parent
        yield from (
            (f"{root.name}/{relative}", path) for relative, path in files_below(root, {"__pycache__"})
        )


def app_files(app: Path, left_out: Collection[str] = ()) -> Iterator[tuple[str, Path]]:
    """The files of an app directory that go into an image, with their paths in it; caches and secrets stay behind."""
    return files_below(app, {"__pycache__", ".python_packages", "local.settings.json", *left_out})


def fnpack_settings(
    labels: dict[str, str], python: str = "python3", path: str | None = None
) -> ImageSettings:
    """The settings of an image with fnpack's host, which `python` runs. `path` goes before the base's search path."""
    env = {
        "AzureWebJobsScriptRoot": f"/{ROOT}",
        "FNPACK_PORT": "8080",
        "HOME": "/tmp",  # noqa: S108 - in the image
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": f"/{HOST_FOLDER}",
        "PYTHONUNBUFFERED": "1",
    }
    if path is not None:
        env |= {"PATH": path, "CONDA_PREFIX": str(Path(python).parent.parent)}
    return ImageSettings(
        env,
        labels,
        working_dir=f"/{ROOT}",
        user=USER,
        entrypoint=(python, "-m", "fnpack_host"),
        healthcheck={
            "Test": ["CMD", python, "-m", "fnpack_host.healthcheck"],
            "Interval": 10 * _SECOND_NS,
            "Timeout": 5 * _SECOND_NS,
            "StartPeriod": 120 * _SECOND_NS,
            "Retries": 3,
        },
        stop_signal="SIGTERM",
        exposed_ports=("8080/tcp",),
    )


def azure_settings(labels: dict[str, str]) -> ImageSettings:
    """The settings of an image on Microsoft's base, whose command and user stay."""
    env = {
        "AzureWebJobsScriptRoot": f"/{ROOT}",
        "AzureFunctionsJobHost__Logging__Console__IsEnabled": "true",
    }
    return ImageSettings(env, labels)
