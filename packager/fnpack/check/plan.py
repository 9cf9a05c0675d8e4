"""The check of one platform's parts on this machine: with which Python, packages, models and variables."""

from __future__ import annotations

import hashlib
import json
import platform as machine
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from fnpack.check.remembered import key_of, recall, stamps
from fnpack.check.tree import packages_key
from fnpack.config.build import BuildSettings
from fnpack.oci import function_app
from fnpack.progress import Progress

if TYPE_CHECKING:
    from fnpack.check.native import Sample
    from fnpack.daemonless.parts import Parts
    from fnpack.dependencies.wheels import WheelFile

_MACHINES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


class NotHere(Exception):  # noqa: N818 - says what it is
    """The check cannot run on this machine; the text says why."""


class Plan(NamedTuple):
    """What a child process is started with. `known` is what an equal check that passed had to say."""

    settings: BuildSettings
    parts: Parts
    python: str
    wheels: Sequence[WheelFile]
    sample: Sample | None
    key: str
    known: str | None

    @property
    def platform(self) -> str:
        """Of the parts."""
        return self.parts.target.platform


def plan_of(settings: BuildSettings, parts: Parts, sample: Sample | None, progress: Progress) -> Plan:
    """Find out whether and how the parts can be checked here; fetches packages. Raises NotHere, DependencyError."""
    python = _python(settings, parts)
    wheels = _wheels(parts, progress, fetched=False)
    key = key_of(
        python=[python, Path(python).stat().st_mtime_ns],
        base=parts.base.digest,
        packages=packages_key(wheels, python),
        conda=parts.prefix.digest if parts.prefix else None,
        app=function_app.app_recipe(parts.app.path).key,
        models=stamps(pair for files in parts.model_files.values() for pair in files.items()),
        variables=image_variables(parts),
        sample=[hashlib.sha256(sample.data).hexdigest(), sample.facts()] if sample else None,
    )
    known = recall(key)
    if known is not None:
        return Plan(settings, parts, python, wheels, sample, key, str(known.get("text", "")))
    return Plan(settings, parts, python, _wheels(parts, progress, fetched=True), sample, key, None)


def is_this_machine(platform: str) -> bool:
    """Whether programs for `platform` (`linux/amd64`) run here as they are."""
    own = _MACHINES.get(machine.machine().lower())
    return sys.platform == "linux" and "/".join(platform.split("/")[:2]) == f"linux/{own}"


def image_variables(parts: Parts) -> dict[str, str]:
    """The variables that the base image sets."""
    run = json.loads(parts.base.source.config().data).get("config") or {}
    entries = run.get("Env") or []
    return dict(str(entry).partition("=")[::2] for entry in entries if "=" in str(entry))


def _python(settings: BuildSettings, parts: Parts) -> str:
    from fnpack.oci.compiled import interpreter

    if not is_this_machine(parts.target.platform):
        raise NotHere(f"this machine cannot run images for {parts.target.platform}")
    if settings.app.environment.user_managed:
        raise NotHere("its packages come with the base image, which this machine does not run")
    if parts.prefix is not None:
        return str(parts.prefix.path / "bin" / "python")
    python = interpreter(parts.target.python_version)
    if python is None:
        raise NotHere(f"there is no Python {parts.target.python_version} on this machine")
    return python


def _wheels(parts: Parts, progress: Progress, *, fetched: bool) -> tuple[WheelFile, ...]:
    """The app's wheels; those that are built from source have to be built, to be known."""
    from fnpack.dependencies.provide import wheels

    found = parts.dependencies
    if found is None:
        return ()
    selected = found.selected[parts.target]
    if not fetched and all(one.wheel for one in selected):
        return tuple(one.wheel for one in selected if one.wheel)
    return wheels(found, parts.target, progress)
