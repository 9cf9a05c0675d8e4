"""Writes the Dockerfile of an app's image as text. It knows neither files nor engines."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from string import Template
from typing import Literal

from fnpack.templates import template
from fnpack_triggers.errors import FnpackError

Host = Literal["fnpack", "azure-functions"]

SITE_PACKAGES = "/home/site/wwwroot/.python_packages/lib/site-packages"
_MOST_MODEL_LAYERS = 20  # an image holds 127 layers at most, and each costs a round trip
_REFERENCE = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._:/@-]*$")
_PYTHON = re.compile(r"^3\.\d{1,2}$")
_PATH = re.compile(r"^[A-Za-z0-9._-]+$")
_LABEL = re.compile(r"^[a-z0-9]+([._-][a-z0-9]+)*$")


class DockerfileValueError(FnpackError):
    """A value cannot stand in a Dockerfile; the text names it."""

    code = "FN340"


class UnsupportedPython(FnpackError):  # noqa: N818 - says what it is
    """What is given is not a Python version."""

    code = "FN341"


@dataclass(frozen=True, slots=True)
class ImageSpec:
    """What the Dockerfile depends on. `models` are the folder names below `azureml-models/` in the context."""

    host: Host
    base_image: str
    python_version: str
    install_dependencies: bool = True
    models: Sequence[str] = ()
    has_wheels: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)


def default_base_image(host: Host, python_version: str) -> str:
    """The public base image for `host` and a Python such as "3.11". Raises UnsupportedPython."""
    if not _PYTHON.match(python_version):
        raise UnsupportedPython(f"`{python_version}` is not a Python version", hint="write it as in 3.11")
    if host == "fnpack":
        return f"python:{python_version}-slim"
    return f"mcr.microsoft.com/azure-functions/python:4-python{python_version}"


def dockerfile(spec: ImageSpec) -> str:
    """The Dockerfile's text. Every value is checked, so that none can end its line or add an instruction."""
    _check(spec)
    values = {
        "base": spec.base_image,
        "labels": _labels(spec.labels),
        "copy_models": _copy_models(spec.models),
    }
    if spec.host == "fnpack":
        stage = (
            "\n# ---- the app's own dependencies\n"
            f"FROM {spec.base_image} AS dependencies\nUSER root\n{_install(spec, SITE_PACKAGES)}"
        )
        values["dependencies_stage"] = stage if spec.install_dependencies else ""
        copy = f"COPY --from=dependencies {SITE_PACKAGES} {SITE_PACKAGES}\n"
        values["copy_dependencies"] = copy if spec.install_dependencies else ""
    else:
        values["install_dependencies"] = _install(spec, "-") if spec.install_dependencies else ""
    text = template("image", f"Dockerfile.{spec.host}.txt")
    return Template(text).substitute(values)


def _install(spec: ImageSpec, target: str) -> str:
    command = ["python3", "-B", "/tmp/tools/install.py", "/tmp/requirements.txt", target]  # noqa: S108 - in the image
    command += ["--python", spec.python_version]
    mounts = [
        "type=bind,source=tools,target=/tmp/tools",
        "type=bind,source=app/requirements.txt,target=/tmp/requirements.txt",
        *(["type=bind,source=wheels,target=/tmp/wheels"] if spec.has_wheels else []),
        *(f"type=secret,id={secret}" for secret in ("pip.conf", "ca.crt", "netrc")),
    ]
    lines = [f"--mount={mount} \\\n    " for mount in mounts]
    return f"RUN {''.join(lines)}{json.dumps(command)}\n"


def _copy_models(models: Sequence[str]) -> str:
    """One layer for each model, so that a new version of one leaves the others alone."""
    if not models:
        return ""
    if len(models) > _MOST_MODEL_LAYERS:
        return "COPY azureml-models /home/site/wwwroot/azureml-models\n"
    lines = (f"COPY azureml-models/{name} /home/site/wwwroot/azureml-models/{name}\n" for name in models)
    return "".join(lines)


def _labels(labels: Mapping[str, str]) -> str:
    lines = [f"{key}={_quoted(value)}" for key, value in sorted(labels.items())]
    return "LABEL " + " \\\n      ".join(lines) if lines else ""


def _quoted(value: str) -> str:
    """A double-quoted Dockerfile word: no variable is expanded in it."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$")
    return f'"{escaped}"'


def _check(spec: ImageSpec) -> None:
    if not _REFERENCE.fullmatch(spec.base_image):
        raise DockerfileValueError(
            f"`{spec.base_image!r}` is not an image reference",
            hint="write it as in registry.example/name:tag",
        )
    if not _PYTHON.fullmatch(spec.python_version):
        raise DockerfileValueError(
            f"{spec.python_version!r} is not a Python version", hint="write it as in 3.11"
        )
    for model in spec.models:
        if not _PATH.fullmatch(model) or model in {".", ".."}:
            raise DockerfileValueError(f"{model!r} cannot be a model's folder", hint="rename the model")
    for key, value in spec.labels.items():
        if not _LABEL.fullmatch(key) or not value.isprintable():
            raise DockerfileValueError(
                f"the label {key!r} cannot stand in a Dockerfile", hint="use plain text"
            )
