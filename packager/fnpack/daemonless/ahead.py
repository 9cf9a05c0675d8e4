"""Begins what a build will most likely need while its base image is looked through: locks, and the wheels in them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from fnpack.build import wanted_python
from fnpack.config.build import BuildSettings
from fnpack.daemonless.earlier import Earlier
from fnpack.parallel import beside
from fnpack.progress import Progress, ProgressEvent

if TYPE_CHECKING:
    from fnpack.dependencies.resolver import Answers
    from fnpack.dependencies.target import Target


class _Stopped(Exception):  # noqa: N818 - no error: the guess was wrong, or the build ended
    """What was begun is given up."""


class Ahead:
    """Works for the Python that was asked for, which is the one that most base images turn out to have.

    Only caches are written. What was guessed wrong, or fails, is done again in its place, where errors are told.
    `answers` is what uv said. A context manager: at its end, what is still under way is given up.
    """

    def __init__(self, settings: BuildSettings, platform: str, remote: Earlier, progress: Progress) -> None:
        self._settings, self._platform, self._progress = settings, platform, progress
        self._python = wanted_python(settings)
        self._remote = remote.copy()  # what a wrong guess looks up is nothing that the image tells of
        self._stopped = threading.Event()
        self._waits: list[Callable[[], None]] = []
        self.answers: Answers = {}

    def __enter__(self) -> Ahead:
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()

    def start(self) -> None:
        """Begin. A conda environment decides about the packages beside it: there is nothing to guess."""
        settings, works = self._settings, list[Callable[[], None]]()
        environment = settings.app.environment
        if environment.conda is None and environment.requirements and not environment.user_managed:
            works.append(self._app)
        if settings.host == "fnpack":
            works.append(self._host)
        self._waits = [beside(work) for work in works]

    def wait(self, python_version: str) -> None:
        """Wait until all is here, if the base image has the Python that it was begun for."""
        if python_version != self._python:
            self._stopped.set()
            return
        for wait in self._waits:
            with suppress(Exception):  # it is done again where it is needed, and fails there
                wait()

    @property
    def _target(self) -> Target:
        from fnpack.dependencies.target import Target

        return Target(self._platform, self._python)

    def _app(self) -> None:
        from fnpack.daemonless.packages import asked_of, package_layers, project_of
        from fnpack.dependencies.index import PackageIndex
        from fnpack.dependencies.lock import lock
        from fnpack.dependencies.provide import Dependencies
        from fnpack.dependencies.selection import select
        from fnpack.oci.function_app import SITE_PACKAGES

        asked, project, target = asked_of(self._settings), project_of(self._settings), self._target
        mode, index = self._settings.lock_mode, PackageIndex.discover()
        locked = lock(
            asked, [target], project=project, index=index, mode=mode, answers=self.answers, is_kept=False
        )
        selected = select(locked, target)
        if all(one.wheel for one in selected):  # else it takes builds
            found = Dependencies(locked, "", {target: selected}, (), index)
            package_layers(found, target, SITE_PACKAGES, self._remote, self._told)

    def _host(self) -> None:
        from fnpack.app.entry_script import check_entry_script
        from fnpack.app.functions import functions
        from fnpack.daemonless.packages import host_layers

        app = self._settings.app
        built = functions(app.triggers, check_entry_script(app.entry_script), app.outputs)
        host_layers(self._settings, built, self._target, self._remote, self._told)

    def _told(self, event: ProgressEvent) -> None:
        """Tell of a download, or end it: nobody waits for it any more."""
        if self._stopped.is_set():
            raise _Stopped
        self._progress(event._replace(phase="resolve"))
