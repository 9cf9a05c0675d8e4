"""The check of one platform's parts on this machine: with which Python, packages, models and variables."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from fnpack.check.native import Child, Ended, Sample, child_environment, is_this_machine
from fnpack.check.remembered import key_of, note, recall, stamps
from fnpack.check.tree import NotUnpacked, app_tree, package_tree, packages_key
from fnpack.config.build import BuildSettings
from fnpack.oci import function_app
from fnpack.progress import Progress

if TYPE_CHECKING:
    from fnpack.check.report import Raised
    from fnpack.daemonless.parts import Parts
    from fnpack.dependencies.wheels import WheelFile

_ROOT = f"/{function_app.ROOT}"
_PACKAGES = f"/{function_app.SITE_PACKAGES}"


class NotHere(Exception):  # noqa: N818 - says what it is
    """The check cannot run on this machine; the text says why."""


@dataclass(slots=True)
class Plan:
    """What a child process is started with. `known` is what an equal check that passed had to say."""

    settings: BuildSettings
    parts: Parts
    python: str
    wheels: Sequence[WheelFile]
    sample: Sample | None
    key: str
    known: str | None
    _child: Child = field(default_factory=Child)

    @property
    def platform(self) -> str:
        """Of the parts."""
        return self.parts.target.platform

    def cancel(self) -> None:
        """End it from another thread."""
        self._child.cancel()

    def run(self, folder: Path) -> str:
        """Check; `folder` is for the app's tree. Returns what to say of the sample, or "".

        Raises CheckFailed, CheckTooSlow, NotHere, Cancelled.
        """
        from fnpack.check.verdict import verdict  # a check that is remembered needs none of this

        try:
            packages = package_tree(self.wheels, self.python)
        except NotUnpacked as reason:
            raise NotHere(str(reason)) from reason
        is_closed = self.settings.host == "fnpack"  # Microsoft's image runs as root
        with (
            app_tree(self.parts.app.path, self.parts.model_files, folder, is_closed=is_closed) as tree,
            tempfile.TemporaryDirectory(prefix="fnpack-check-", ignore_cleanup_errors=True) as scratch,
        ):
            places = {str(tree): _ROOT, scratch: "/tmp"}  # noqa: S108 - in the image
            if packages is not None:
                places[str(packages)] = _PACKAGES
            ended = self._ended(tree, packages, None, Path(scratch))
            host = self._host_packages(ended)
            if host is not None:
                places[str(host)] = f"/{function_app.HOST_FOLDER}"
                ended = self._ended(tree, packages, host, Path(scratch))
        text = verdict(_in_image(ended, places), self.settings, self._refuse_false_alarm)
        if packages is not None:
            self._check_libraries(ended, packages)
        note(self.key, {"text": text})
        return text

    def _ended(self, tree: Path, packages: Path | None, host: Path | None, scratch: Path) -> Ended:
        prefix = self.parts.prefix
        site = [str(prefix.path / prefix.site_packages[len(prefix.prefix) + 1 :])] if prefix else []
        facts = {
            "app_root": str(tree),
            "package_folders": [str(packages)] if packages else [],
            "site_folders": site,
            "host_folders": [str(host)] if host else [],
            "keeps_bytecode": prefix is None,  # a conda environment is a layer as it stands
        }
        variables = {**image_variables(self.parts), "AzureWebJobsScriptRoot": str(tree)}
        path = str(Path(self.python).parent) if prefix else ""
        environment = child_environment(variables, scratch, path)
        try:
            return self._child.run(
                self.python, facts, self.sample, environment, self.settings.check_timeout_s
            )
        except OSError as error:
            raise NotHere(f"{self.python} cannot be started: {error.strerror}") from error

    def _host_packages(self, ended: Ended) -> Path | None:
        """The packages of fnpack's host, if the script needs them: they come last on its search path."""
        raised = ended.report.error
        if raised is None or not raised.module:
            return None
        recipes = [one for one in self.parts.recipes if getattr(one, "site", "") == function_app.HOST_FOLDER]
        wheels: list[WheelFile] = []
        for recipe in recipes:
            recipe.fetch()  # type: ignore[attr-defined]
            wheels += recipe.wheels  # type: ignore[attr-defined]
        try:
            folder = package_tree(wheels, self.python)
        except NotUnpacked:
            return None
        first = raised.module.replace(".", "/")
        is_there = folder is not None and any((folder / f"{first}{end}").exists() for end in ("", ".py"))
        return folder if is_there else None

    def _check_libraries(self, ended: Ended, packages: Path) -> None:
        """A package may have loaded a library of this machine that the base image lacks: the image would fail then."""
        from fnpack.check.hints import WITHOUT
        from fnpack.check.libraries import lacking
        from fnpack.check.report import CheckFailed

        base = self.parts.base
        for library, package in lacking(ended.report.mapped, packages, base.python.libraries):
            raise CheckFailed(
                "libraries",
                f"{package} needs {library}, which this machine has and the base image {base.reference} lacks",
                hint=f"choose a base image that has it (--base-image); {WITHOUT}",
            )

    def _refuse_false_alarm(self, raised: Raised) -> None:
        """A module or library of the base image is missing here alone."""
        from fnpack.check.hints import missing_library
        from fnpack.check.inside_base import has_module
        from fnpack.check.libraries import has_library

        base, library = self.parts.base, missing_library(raised)
        if raised.type == "ModuleNotFoundError" and raised.module and has_module(base.source, raised.module):
            raise NotHere(f"`{raised.module}` comes with the base image, which this machine does not run")
        if library and has_library(base.python.libraries, library):
            raise NotHere(f"{library} comes with the base image, and this machine lacks it")


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


def _in_image(ended: Ended, places: Mapping[str, str]) -> Ended:
    report = ended.report
    if report.error is not None:
        error = report.error
        text, trace = _as_in_image(error.text, places), _as_in_image(error.traceback, places)
        file = _as_in_image(error.file, places) if error.file else None
        report = report._replace(error=error._replace(text=text, traceback=trace, file=file))
    return replace(ended, report=report, output=_as_in_image(ended.output, places))


def _as_in_image(text: str, places: Mapping[str, str]) -> str:
    """Paths as they are in the image, and no folder of this machine."""
    for here, there in places.items():
        for form in dict.fromkeys((here, str(Path(here).resolve()))):
            text = text.replace(form, there)
    return text
