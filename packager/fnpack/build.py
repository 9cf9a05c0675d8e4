"""Builds: from checked settings to an app directory, a build context or an image. It prints nothing."""

from __future__ import annotations

import os
import platform as machine
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from fnpack.app.directory import FunctionApp, write_app
from fnpack.app.entry_script import check_entry_script
from fnpack.app.staging import copy_file, link_or_copy_file
from fnpack.check import OFF, Outcome
from fnpack.config.build import PYTHON_VERSIONS, BuildSettings
from fnpack.progress import Progress, ProgressEvent, Status, ignore, in_phase
from fnpack.usable_cache import using_cache
from fnpack_triggers.errors import FnpackError

if TYPE_CHECKING:
    from fnpack.dependencies.index import PackageIndex
    from fnpack.dependencies.provide import Dependencies
    from fnpack.engine import Engine
    from fnpack.image.dockerfile import Host

T = TypeVar("T")
_ARCHITECTURES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


class BaseImageUnfit(FnpackError):  # noqa: N818 - says what it is
    """The base image cannot carry this app: another Python than asked for, or another C library."""

    code = "FN415"


class Built(NamedTuple):
    """The result of a build. `reference` names the image so that `docker run` finds it: a digest or an image id."""

    reference: str
    app: FunctionApp
    base_image: str
    python_version: str
    platform: str
    pushed: bool
    check: Outcome = OFF


def build_app(settings: BuildSettings, target: Path, progress: Progress = ignore) -> FunctionApp:
    """Write the function-app directory alone, for `fnpack run` or for an image made by other means."""
    check_entry_script(settings.app.entry_script)
    with using_cache(progress):
        found = _dependencies(settings, wanted_python(settings), default_platform(settings), progress)
        return write_app(settings.app, target, lock_text=found.requirements_txt if found else "")


def build_context(settings: BuildSettings, target: Path, progress: Progress = ignore) -> FunctionApp:
    """Write a build context (Dockerfile, app, host, models) that a person can read, keep and build by hand."""
    from fnpack.image.dockerfile import default_base_image

    check_entry_script(settings.app.entry_script)
    python_version = wanted_python(settings)
    base_image = settings.base_image or default_base_image(_host(settings), python_version)
    with using_cache(progress):
        return _write_context(
            settings, target, base_image, python_version, default_platform(settings), progress, copy_file
        )


def build_image(settings: BuildSettings, progress: Progress = ignore, *, network: str | None = None) -> Built:
    """Build the image from a Dockerfile with the Docker Engine, tag it, and push it where the settings say so.

    Raises the errors of every step: ConfigurationError, EntryScriptError, DependencyError, EngineMissing,
    BaseImageUnavailable, ImageBuildFailed, CheckFailed, CheckTooSlow, PushFailed.
    """
    from fnpack.daemonless.through_engine import push
    from fnpack.dependencies.index import PackageIndex
    from fnpack.engine import Engine
    from fnpack.image.dockerfile import default_base_image

    check_entry_script(settings.app.entry_script)
    logins = settings.logins
    with using_cache(progress), Engine.connect() as engine, workplace() as folder:
        reference = settings.base_image or default_base_image(_host(settings), wanted_python(settings))
        with in_phase(progress, "base") as told:
            base = step(
                told,
                f"base image {reference}",
                lambda: engine.base_image(reference, settings.platform, logins, told),
            )
        python_version = fitting_python(
            settings, base.reference, base.python_version or wanted_python(settings), base.libc
        )
        context = folder / "context"  # gone after the build, so models may be linked into it
        with in_phase(progress, "resolve") as told:
            app = _write_context(
                settings, context, base.reference, python_version, base.platform, told, link_or_copy_file
            )
        tag = settings.tag or default_tag(settings)
        with in_phase(progress, "build") as told:
            image_id = engine.build(
                context,
                tags=[] if settings.check else [tag],
                platform=settings.platform,
                secrets=_secrets(PackageIndex.discover()),
                logins=logins,
                progress=told,
                network=network,
            )
        outcome = _checked(engine, image_id, tag, settings, python_version, progress)
        pushed = None
        if settings.push:
            with in_phase(progress, "push") as told:
                pushed = push(engine, tag, settings, told)
        return Built(
            pushed or image_id,
            app,
            base.reference,
            python_version,
            base.platform,
            pushed is not None,
            outcome,
        )


def _checked(  # noqa: PLR0917 - one step of a build
    engine: Engine, image_id: str, tag: str, settings: BuildSettings, python_version: str, progress: Progress
) -> Outcome:
    """Check the image in a container of its own, and give it its tag only then."""
    if not settings.check:
        return OFF
    from fnpack.check.container import ContainerCheck

    with in_phase(progress, "check") as told:
        container = ContainerCheck(engine.client.api, settings, told, "python3", python_version)
        try:
            outcome = container.run(image_id)
        except FnpackError:
            engine.remove_unnamed(image_id)
            raise
    engine.tag(image_id, tag)
    return outcome


def _write_context(  # noqa: PLR0917 - one step of a build, called twice
    settings: BuildSettings,
    target: Path,
    base_image: str,
    python_version: str,
    platform: str,
    progress: Progress,
    place: Callable[[Path, Path], None],
) -> FunctionApp:
    from fnpack.image.context import write_context

    _refuse_conda(settings)
    found = _dependencies(settings, python_version, platform, progress)
    text = found.requirements_txt if found else ""
    with workplace(target.parent) as folder:
        app = write_app(settings.app, folder / "app", lock_text=text, place=place)
        write_context(
            app.path,
            target,
            host=_host(settings),
            base_image=base_image,
            python_version=python_version,
            platform=platform,
            identity=settings.identity,
            install_dependencies=not settings.app.environment.user_managed,
            wheels=found.local if found else (),
            functions=app.functions,
        )
    return app._replace(path=target)


def _refuse_conda(settings: BuildSettings) -> None:
    """A Dockerfile installs pip's packages alone."""
    from fnpack.dependencies.conda.errors import CondaNotPossible

    if settings.app.environment.conda is not None and not settings.app.environment.user_managed:
        raise CondaNotPossible(
            f"{settings.app.environment.requirements_source}: a Dockerfile of fnpack's installs no conda packages",
            hint="build without a Dockerfile, or name the packages in the list of pip",
        )


def _dependencies(
    settings: BuildSettings, python_version: str, platform: str, progress: Progress
) -> Dependencies | None:
    """What pip's part of the environment comes to; None where there is nothing to install."""
    from fnpack.dependencies.lock import Requirements
    from fnpack.dependencies.provide import resolve
    from fnpack.dependencies.target import Target

    environment = settings.app.environment
    if environment.user_managed or not environment.requirements:
        return None
    project = settings.project or settings.app.entry_script.parent
    target = Target(platform, python_version)
    asked = Requirements(environment.requirements, environment.requirements_source, environment.constraints)
    if environment.conda is not None:
        from fnpack.dependencies.conda.environment import conda_environment

        conda = conda_environment(
            environment.conda, [target], project=project, mode=settings.lock_mode, progress=progress
        )
        asked, (target,) = conda.beside(asked), conda.targets
    return step(
        progress,
        f"resolve {len(asked.lines)} requirements for Python {target.python_version} on {platform}",
        lambda: resolve(
            asked,
            [target],
            project=project,
            mode=settings.lock_mode,
            progress=progress,
        ),
        is_cached=lambda found: not found.lock.is_new,
    )


def step(
    progress: Progress, name: str, work: Callable[[], T], is_cached: Callable[[T], bool] = lambda _: False
) -> T:
    """Do a piece of work between the events that say so."""
    since = time.monotonic()
    progress(ProgressEvent(name, "started"))
    try:
        result = work()
    except BaseException:
        progress(ProgressEvent(name, "failed", duration_s=time.monotonic() - since))
        raise
    status: Status = "cached" if is_cached(result) else "done"
    progress(ProgressEvent(name, status, duration_s=time.monotonic() - since))
    return result


def wanted_python(settings: BuildSettings) -> str:
    """What was asked for, else the Python that runs fnpack: most likely the one that made the model's files."""
    if settings.python_version:
        return settings.python_version
    own = f"{sys.version_info.major}.{sys.version_info.minor}"
    return own if own in PYTHON_VERSIONS else PYTHON_VERSIONS[-1]


def fitting_python(settings: BuildSettings, reference: str, found: str, libc: str | None) -> str:
    """The Python `found` in a base image, which is the one that counts. Raises BaseImageUnfit where it does not fit."""
    asked = settings.python_version
    if asked and asked != found:
        raise BaseImageUnfit(
            f"the base image {reference} has Python {found}, but {asked} is asked for",
            hint=f"choose another --base-image, or --python-version {found}",
        )
    if found not in PYTHON_VERSIONS:
        raise BaseImageUnfit(
            f"the base image {reference} has Python {found}, which fnpack's apps do not run on",
            hint=f"choose a base image with Python {', '.join(PYTHON_VERSIONS)}",
        )
    if libc == "musl":
        raise BaseImageUnfit(
            f"the base image {reference} is built on musl, for which most packages have no wheels",
            hint="choose a Debian-like base, such as the `-slim` images of Python",
        )
    return found


def default_platform(settings: BuildSettings) -> str:
    """What was asked for, else this machine's architecture; Azure Functions runs amd64 alone."""
    if settings.platform:
        return settings.platform
    own = _ARCHITECTURES.get(machine.machine().lower(), "amd64")
    return "linux/amd64" if settings.host == "azure-functions" else f"linux/{own}"


def _host(settings: BuildSettings) -> Host:
    return "azure-functions" if settings.host == "azure-functions" else "fnpack"


def default_tag(settings: BuildSettings) -> str:
    """An image's name where none is given: after the project's folder, or the model that has no script."""
    app = settings.app
    given = app.models[0].name if app.built_in else (app.source_directory or app.entry_script.parent).name
    folder = given.lower()
    name = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in folder).strip("-")
    return f"fnpack/{name or 'app'}:latest"


def _secrets(index: PackageIndex) -> dict[str, bytes]:
    found = {"pip.conf": index.pip_conf(), "ca.crt": index.ca_bundle(), "netrc": index.netrc()}
    return {name: content for name, content in found.items() if content}


@contextmanager
def workplace(beside: Path | None = None) -> Iterator[Path]:
    """A folder for the parts, gone afterwards. On the project's disk, so that models are linked and not copied."""
    place = beside or Path.cwd()
    while not place.exists():
        place = place.parent
    with tempfile.TemporaryDirectory(
        prefix=".fnpack-", dir=place if os.access(place, os.W_OK) else None, ignore_cleanup_errors=True
    ) as folder:
        yield Path(folder)
