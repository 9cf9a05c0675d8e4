"""The one place where packages meet the builder: what is built, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fnpack import build
from fnpack.app.functions import Function
from fnpack.check import Outcome as Check
from fnpack.config.build import BuildSettings
from fnpack.progress import Progress


@dataclass(frozen=True, slots=True)
class Outcome:
    """`location` is what `docker run` or `docker build` takes: a digest, an image id, or a folder."""

    location: str
    functions: tuple[str, ...]  # one line for a person about each


def build_image(settings: BuildSettings, progress: Progress) -> Outcome:
    """Build and, where the settings say so, push the image, by the builder that they name."""
    if settings.builder == "dockerfile":
        built = build.build_image(settings, progress)
    else:
        from fnpack import daemonless

        built = daemonless.build_image(settings, daemonless.destination_of(settings), progress)
    return Outcome(_by_digest(built.reference), (*_lines(built.app.functions), *_check_lines(built.check)))


def build_context(settings: BuildSettings, folder: Path, progress: Progress) -> Outcome:
    """Write the Dockerfile and all that it needs."""
    app = build.build_context(settings, folder, progress)
    return Outcome(str(folder), _lines(app.functions))


def _check_lines(check: Check) -> tuple[str, ...]:
    return (f"check: {check.status}" + (f", {check.text}" if check.text else ""),)


def _by_digest(reference: str) -> str:
    """The reference as SDK v1 gave it: `registry/package@sha256:...`, without the tag."""
    name, at, digest = reference.partition("@")
    last = name.rpartition("/")[2]
    return f"{name.removesuffix(last)}{last.partition(':')[0]}@{digest}" if at else reference


def _lines(functions: tuple[Function, ...]) -> tuple[str, ...]:
    return tuple(
        f"function {function.name}: {function.trigger}, {function.where}"
        + "".join(f", setting {name}" for name in function.settings)
        for function in functions
    )
