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
    from fnpack.spec import RegistryLogin


def pull_base(reference: str, platform: str, settings: BuildSettings, progress: Progress) -> None:
    """Have the Engine pull the base image if it has none. Raises EngineMissing, BaseImageUnavailable."""
    with Engine.connect() as engine:
        engine.pull_missing(reference, platform, logins_of(settings), progress)


def load_image(image: Image, parts: Parts, tag: str, progress: Progress, check: Check) -> str:
    """Give the image to the Engine under its tag, checked there if that is left to it; returns its id.

    Raises EngineMissing, OutputError, CheckFailed, CheckTooSlow.
    """
    from fnpack.oci.outputs import load

    with Engine.connect() as engine:
        api = engine.client.api
        if not check.is_left_to_engine:
            return step(progress, f"load {tag}", lambda: load(image, tag, api))
        from fnpack.check.container import ContainerCheck

        python, version = parts.conda_python or "python3", parts.target.python_version
        return ContainerCheck(api, check.settings, progress, python, version).load(image, tag, check)


def push_loaded(tag: str, settings: BuildSettings, progress: Progress) -> str:
    """Have the Engine push what it got; returns `registry/repository:tag@sha256:...`. Raises PushFailed."""
    with Engine.connect() as engine:
        return push(engine, tag, settings, progress)


def push(engine: Engine, tag: str, settings: BuildSettings, progress: Progress) -> str:
    """Push a tag with the Engine. Raises PushFailed, whose hint says that the image is there."""
    try:
        return engine.push(tag, logins_of(settings), progress)
    except PushFailed as error:
        kept = f"The image is built and in the Engine: `docker push {tag}` tries again."
        error.hint = f"{error.hint} {kept}" if error.hint else kept
        raise


def logins_of(settings: BuildSettings) -> tuple[RegistryLogin, ...]:
    """The login that the configuration has for the base image's registry."""
    login = settings.app.environment.base_image_registry
    return (login,) if login is not None else ()
