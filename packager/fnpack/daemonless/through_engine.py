"""What a Docker Engine does for an image that fnpack makes: it pulls the base, takes the image, and pushes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fnpack.build import step
from fnpack.config.build import BuildSettings
from fnpack.engine import Engine, PushFailed
from fnpack.progress import Progress

if TYPE_CHECKING:
    from fnpack.check import Check
    from fnpack.daemonless.parts import Parts
    from fnpack.oci.image import Image


def pull_base(reference: str, platform: str, settings: BuildSettings, progress: Progress) -> None:
    """Have the Engine pull the base image if it has none. Raises EngineMissing, BaseImageUnavailable."""
    with Engine.connect() as engine:
        engine.pull_missing(reference, platform, settings.logins, progress)


def load(  # noqa: PLR0917 - a step of `deliver`
    engine: Engine, image: Image, parts: Parts, tag: str, progress: Progress, check: Check
) -> str:
    """Give the image to the Engine under its tag, checked there if that is left to it; returns its id.

    Raises OutputError, CheckFailed, CheckTooSlow.
    """
    from fnpack.oci import outputs

    api = engine.client.api
    if not check.is_left_to_engine:
        return step(progress, f"load {tag}", lambda: outputs.load(image, tag, api))
    from fnpack.check.container import ContainerCheck

    python, version = parts.conda_python or "python3", parts.target.python_version
    return ContainerCheck(api, check.settings, progress, python, version).load(image, tag, check)


def push(engine: Engine, tag: str, settings: BuildSettings, progress: Progress) -> str:
    """Have the Engine push what it has; returns `registry/repository@sha256:...`.

    Raises PushFailed, whose hint says that the image is there.
    """
    try:
        return engine.push(tag, settings.logins, progress)
    except PushFailed as error:
        kept = f"The image is built and in the Engine: `docker push {tag}` tries again."
        error.hint = f"{error.hint} {kept}" if error.hint else kept
        raise
