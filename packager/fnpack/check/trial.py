"""A check as it runs on this machine: the trees it needs, the child process, and what its end means."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from fnpack.check.hints import WITHOUT, missing_library
from fnpack.check.native import Child, Ended, child_environment
from fnpack.check.plan import NotHere, Plan, image_variables
from fnpack.check.remembered import note
from fnpack.check.report import CheckFailed, Raised
from fnpack.check.tree import NotUnpacked, app_tree, package_tree
from fnpack.check.verdict import verdict
from fnpack.dependencies.wheels import WheelFile
from fnpack.oci import function_app

_ROOT = f"/{function_app.ROOT}"
_PACKAGES = f"/{function_app.SITE_PACKAGES}"


class Trial:
    """The one run of a plan."""

    def __init__(self, plan: Plan) -> None:
        self._plan, self._child = plan, Child()

    def cancel(self) -> None:
        """End it from another thread."""
        self._child.cancel()

    def run(self, folder: Path) -> str:
        """Check; `folder` is for the app's tree. Returns what to say of the sample, or "".

        Raises CheckFailed, CheckTooSlow, NotHere, Cancelled.
        """
        try:
            packages = package_tree(self._plan.wheels, self._plan.python)
        except NotUnpacked as reason:
            raise NotHere(str(reason)) from reason
        is_closed = self._plan.settings.host == "fnpack"  # Microsoft's image runs as root
        with (
            app_tree(
                self._plan.parts.app.path, self._plan.parts.model_files, folder, is_closed=is_closed
            ) as tree,
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
        text = verdict(_in_image(ended, places), self._plan.settings, self._refuse_false_alarm)
        if packages is not None:
            self._check_libraries(ended, packages)
        note(self._plan.key, {"text": text})
        return text

    def _ended(self, tree: Path, packages: Path | None, host: Path | None, scratch: Path) -> Ended:
        prefix = self._plan.parts.prefix
        site = [str(prefix.path / prefix.site_packages[len(prefix.prefix) + 1 :])] if prefix else []
        facts = {
            "app_root": str(tree),
            "package_folders": [str(packages)] if packages else [],
            "site_folders": site,
            "host_folders": [str(host)] if host else [],
            "keeps_bytecode": prefix is None,  # a conda environment is a layer as it stands
        }
        variables = {**image_variables(self._plan.parts), "AzureWebJobsScriptRoot": str(tree)}
        path = str(Path(self._plan.python).parent) if prefix else ""
        environment = child_environment(variables, scratch, path)
        try:
            return self._child.run(
                self._plan.python, facts, self._plan.sample, environment, self._plan.settings.check_timeout_s
            )
        except OSError as error:
            raise NotHere(f"{self._plan.python} cannot be started: {error.strerror}") from error

    def _host_packages(self, ended: Ended) -> Path | None:
        """The packages of fnpack's host, if the script needs them: they come last on its search path."""
        raised = ended.report.error
        if raised is None or not raised.module:
            return None
        recipes = [
            one for one in self._plan.parts.recipes if getattr(one, "site", "") == function_app.HOST_FOLDER
        ]
        wheels: list[WheelFile] = []
        for recipe in recipes:
            recipe.fetch()  # type: ignore[attr-defined]
            wheels += recipe.wheels  # type: ignore[attr-defined]
        try:
            folder = package_tree(wheels, self._plan.python)
        except NotUnpacked:
            return None
        first = raised.module.replace(".", "/")
        is_there = folder is not None and any((folder / f"{first}{end}").exists() for end in ("", ".py"))
        return folder if is_there else None

    def _check_libraries(self, ended: Ended, packages: Path) -> None:
        """A package may have loaded a library of this machine that the base image lacks: the image would fail then."""
        from fnpack.check.libraries import lacking

        base = self._plan.parts.base
        for library, package in lacking(ended.report.mapped, packages, base.python.libraries):
            raise CheckFailed(
                "libraries",
                f"{package} needs {library}, which this machine has and the base image {base.reference} lacks",
                hint=f"choose a base image that has it (--base-image); {WITHOUT}",
            )

    def _refuse_false_alarm(self, raised: Raised) -> None:
        """A module or library of the base image is missing here alone."""
        from fnpack.check.inside_base import has_module
        from fnpack.check.libraries import has_library

        base, library = self._plan.parts.base, missing_library(raised)
        if raised.type == "ModuleNotFoundError" and raised.module and has_module(base.source, raised.module):
            raise NotHere(f"`{raised.module}` comes with the base image, which this machine does not run")
        if library and has_library(base.python.libraries, library):
            raise NotHere(f"{library} comes with the base image, and this machine lacks it")


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
