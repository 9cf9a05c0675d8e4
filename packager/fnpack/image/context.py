"""Writes a build context: an app directory, taken apart into layers, with the Dockerfile that puts it together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template
from typing import NamedTuple

from fnpack.app.directory import MARKER, MODELS
from fnpack.app.functions import Function
from fnpack.app.staging import link_or_copy_file, staged, write_text
from fnpack.image.dockerfile import Host, ImageSpec, dockerfile
from fnpack.image.host_lock import host_lock
from fnpack.image.installer import write_pip
from fnpack.image.labels import app_labels, model_labels
from fnpack.oci import function_app
from fnpack.templates import template

_CONTEXT_MARKER = f"app/{MARKER}"
_RUN = {
    "fnpack": (
        "```\ndocker run -p 8080:8080 -e TriggerConnectionString=... --read-only --tmpfs /tmp my-model\n```\n\n"
        "The port is `FNPACK_PORT`; the process has the user id 10001 and writes nowhere but `/tmp`.\n"
    ),
    "azure-functions": (
        "```\ndocker run -p 8080:80 -e AzureWebJobsStorage=... -e TriggerConnectionString=... my-model\n```\n"
    ),
}


class BuildContext(NamedTuple):
    """What was written: the folder, the Dockerfile's text and the image's labels."""

    path: Path
    dockerfile: str
    labels: Mapping[str, str]


def write_context(
    app: Path,
    target: Path,
    *,
    host: Host,
    base_image: str,
    python_version: str,
    platform: str,
    identity: bool = False,
    install_dependencies: bool = True,
    wheels: Sequence[Path] = (),
    functions: Sequence[Function] = (),
) -> BuildContext:
    """Write the build context of the app directory `app` to the folder `target`, whole or not at all.

    With `identity` fnpack's host can sign in to storage without a connection string; Microsoft's always can.
    `install_dependencies=False` is for a base image that already holds them. `wheels` are the packages
    that no index has, `functions` what a label tells of. Large files are hard-linked where that is possible.
    """
    app, target = app.absolute(), target.absolute()
    app_lock = (app / "requirements.txt").read_text("utf-8")
    labels = app_labels(app, base_image, host, python_version, functions) | model_labels(app)
    spec = ImageSpec(
        host=host,
        base_image=base_image,
        python_version=python_version,
        install_dependencies=install_dependencies and bool(app_lock.strip()),
        models=_model_folders(app),
        has_wheels=bool(wheels),
        labels=labels,
    )
    text = dockerfile(spec)
    with staged(target, marker=_CONTEXT_MARKER) as folder:
        write_text(folder / "Dockerfile", text)
        write_text(folder / "README.md", _readme(host, python_version, platform))
        for relative, path in sorted(function_app.app_files(app)):
            in_layers = relative.startswith(f"{MODELS}/")
            link_or_copy_file(path, (folder if in_layers else folder / "app") / relative)
        for wheel in wheels:
            link_or_copy_file(wheel, folder / "wheels" / wheel.name)
        if host == "fnpack":
            _write_host(folder / "host", host_lock(functions, identity=identity))
        if host == "fnpack" or spec.install_dependencies:
            write_text(folder / "tools" / "install.py", _template("install.py"))
            write_pip(folder / "tools" / "pip.pyz")
    return BuildContext(target, text, labels)


def _template(name: str) -> str:
    return template("image", name)


def _readme(host: Host, python_version: str, platform: str) -> str:
    values = {"platform": platform, "python": python_version, "run": _RUN[host]}
    return Template(_template("README.md.txt")).substitute(values)


def _write_host(folder: Path, lock: str) -> None:
    for relative, path in sorted(function_app.host_files()):
        link_or_copy_file(path, folder / relative)
    write_text(folder / "requirements.txt", _template(lock))


def _model_folders(app: Path) -> tuple[str, ...]:
    root = app / MODELS
    return tuple(sorted(path.name for path in root.iterdir())) if root.is_dir() else ()
