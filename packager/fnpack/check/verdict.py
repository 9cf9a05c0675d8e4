"""Judges what a child told: what to say of a check that passed, or the error of one that did not."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from fnpack.app.tree import model_files
from fnpack.check import hints
from fnpack.check.native import Ended
from fnpack.check.report import CheckFailed, Raised, last_lines
from fnpack.config.build import BuildSettings

_ERROR_STATUS = 400
_HEADER = "Traceback (most recent call last):"


def verdict(ended: Ended, settings: BuildSettings, excuse: Callable[[Raised], None] = lambda _: None) -> str:
    """What to say of the sample, or "". Raises CheckFailed, and what `excuse` raises for no fault of the app's."""
    report, output = ended.report, last_lines(ended.output)
    if report.error is not None:
        raised = report.error
        excuse(raised)
        trace = _frames(raised)
        reason = (raised.line.splitlines() or [raised.type])[0]
        raise CheckFailed(
            report.step,
            reason,
            trace=trace,
            output=output,
            hint=hints.hint_for(report.step, raised, _surroundings(settings)),
        )
    if report.step != "done":
        hint = f"mend what ended it; {hints.WITHOUT}"
        raise CheckFailed(report.step, _end_of(ended.exit_code), output=output, hint=hint)
    result = report.result
    if result is None or settings.sample is None:
        return ""
    if result.status >= _ERROR_STATUS:
        reason = f"it answers with status {result.status}: {result.text()}"
        hint = f"mend the script or the sample; {hints.WITHOUT}"
        raise CheckFailed("run", reason, output=output, hint=hint)
    return f"{settings.sample.name} -> {result.text()}"


def _frames(raised: Raised) -> list[str]:
    """The traceback, without what the error's first line says too."""
    lines = [] if raised.is_adapters else raised.traceback.splitlines()
    if lines[:1] == [_HEADER]:
        del lines[0]
    if lines and _HEADER not in lines and lines[-1].endswith(f"{raised.type}: {raised.text}"):
        del lines[-1]
    return lines


def _surroundings(settings: BuildSettings) -> hints.Surroundings:
    app = settings.app
    return hints.Surroundings(
        app.environment.requirements_source if app.environment.requirements else "",
        app.entry_script.parent,
        app.source_directory is not None,
        tuple(_in_model_folder(settings)),
    )


def _in_model_folder(settings: BuildSettings) -> Iterator[str]:
    """What lies below AZUREML_MODEL_DIR, which is the folder of the one model, or that of all."""
    for model in settings.app.models:
        place = f"{model.name}/{model.version}/" if len(settings.app.models) > 1 else ""
        if model.path.is_dir():
            yield from (f"{place}{model.path.name}/{one.relative}" for one in model_files(model.path))
        else:
            yield f"{place}{model.path.name}"


def _end_of(code: int) -> str:
    if code < 0 or code > 128:
        number = -code if code < 0 else code - 128
        return f"its process was ended by signal {number}" + (" (out of memory?)" if number == 9 else "")
    return f"its process ended with exit code {code}"
