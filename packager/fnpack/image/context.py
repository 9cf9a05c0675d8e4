"""Writes a build context: an app directory, taken apart into layers, with the Dockerfile that puts it together."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from string import Template

import fnpack
import fnpack_host
import fnpack_triggers
from fnpack.app.directory import MARKER, MODELS
from fnpack.app.functions import Function
from fnpack.app.staging import link_or_copy_file, staged, write_text
from fnpack.image.dockerfile import Host, ImageSpec, dockerfile
from fnpack.image.installer import write_pip
from fnpack.oci.file_digests import HashedFile
from fnpack.provenance.contents import model_contents, models_label

_CONTEXT_MARKER = f"app/{MARKER}"
_CHUNK_BYTES = 1 << 20
_RUN = {
    "fnpack": (
        "```\ndocker run -p 8080:8080 -e TriggerConnectionString=... --read-only --tmpfs /tmp my-model\n```\n\n"
        "The port is `FNPACK_PORT`; the process has the user id 10001 and writes nowhere but `/tmp`.\n"
    ),
    "azure-functions": (
        "```\ndocker run -p 8080:80 -e AzureWebJobsStorage=... -e TriggerConnectionString=... my-model\n```\n"
    ),
}


@dataclass(frozen=True, slots=True)
class BuildContext:
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
    labels = app_labels(app, base_image, host, python_version, functions) | _model_labels(app)
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
        for relative in _files(app):
            in_layers = relative.parts[0] == MODELS
            link_or_copy_file(app / relative, (folder if in_layers else folder / "app") / relative)
        for wheel in wheels:
            link_or_copy_file(wheel, folder / "wheels" / wheel.name)
        if host == "fnpack":
            _write_host(folder / "host", "host-identity.txt" if identity else host_lock(app))
        if host == "fnpack" or spec.install_dependencies:
            write_text(folder / "tools" / "install.py", _template("install.py"))
            write_pip(folder / "tools" / "pip.pyz")
    return BuildContext(target, text, labels)


def _template(name: str) -> str:
    return (files("fnpack_templates") / "image" / name).read_text("utf-8")


def _readme(host: Host, python_version: str, platform: str) -> str:
    values = {"platform": platform, "python": python_version, "run": _RUN[host]}
    return Template(_template("README.md.txt")).substitute(values)


def _write_host(folder: Path, lock: str) -> None:
    for package in (fnpack_host, fnpack_triggers):
        root = Path(str(package.__file__)).parent
        for path in sorted(root.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                link_or_copy_file(path, folder / root.name / path.relative_to(root))
    write_text(folder / "requirements.txt", _template(lock))


def host_lock(app: Path) -> str:
    """The storage libraries are half of the host; an app that answers HTTP to anybody goes without.

    Where a caller needs a key, the keys may live in blob storage (AzureWebJobsStorage).
    """
    definitions = (json.loads(path.read_text("utf-8")) for path in sorted(app.glob("*/function.json")))
    bindings = [binding for one in definitions for binding in one.get("bindings", [])]
    if any(str(binding.get("type", "")).lower().startswith("servicebus") for binding in bindings):
        return "host-servicebus.txt"
    return "host-storage.txt" if any(map(_needs_storage, bindings)) else "host-http.txt"


def _needs_storage(binding: Mapping[str, object]) -> bool:
    kind = str(binding.get("type", "")).lower()
    if kind == "httptrigger":
        return str(binding.get("authLevel", "function")).lower() != "anonymous"
    return kind != "http"


def _model_folders(app: Path) -> tuple[str, ...]:
    root = app / MODELS
    return tuple(sorted(path.name for path in root.iterdir())) if root.is_dir() else ()


def _files(root: Path) -> Iterator[Path]:
    """Every file of the app, relative, in a fixed order; what Python cached there is left behind."""
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if name not in {"__pycache__", ".python_packages"})
        yield from (
            Path(folder, name).relative_to(root) for name in sorted(names) if name != "local.settings.json"
        )


def app_labels(
    app: Path, base_image: str, host: str, python_version: str, functions: Sequence[Function]
) -> dict[str, str]:
    """What an image says of the app in it; models are not among it. docs/provenance.md describes each label."""
    scoring = json.loads((app / MARKER).read_text("utf-8"))
    facts = [
        {"name": one.name, "trigger": one.trigger, "where": one.where, "settings": list(one.settings)}
        for one in functions
    ]
    return {
        "io.fnpack.entry-script": scoring["entry_script"],
        "io.fnpack.entry-script.sha256": _sha256(app / scoring["entry_script"]),
        "io.fnpack.functions": json.dumps(facts, separators=(",", ":"), ensure_ascii=False),
        "io.fnpack.host": host,
        "io.fnpack.python": python_version,
        "io.fnpack.version": fnpack.__version__,
        "org.opencontainers.image.base.name": base_image,
        "org.opencontainers.image.title": Path(scoring["entry_script"]).stem,
    }


def _model_labels(app: Path) -> dict[str, str]:
    scoring = json.loads((app / MARKER).read_text("utf-8"))
    models = []
    for model in scoring["models"]:
        folder = app / model["path"]
        files = [
            HashedFile(path.as_posix(), _sha256(folder / path), (folder / path).stat().st_size)
            for path in _files(folder)
        ]
        models.append((model_contents(f"{model['name']}:{model['version']}", "", files), ()))
    return {"io.fnpack.models": models_label(models)} if models else {}


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
