"""Checks an app before its image goes anywhere: the script is imported, `init()` runs, `run()` gets a sample.

It owns the decision where a check can run, and what became of it. User code runs in child processes alone.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Literal, NamedTuple

from fnpack.config.build import BuildSettings
from fnpack.progress import Progress, ProgressEvent, in_phase
from fnpack.spec import HttpTrigger

if TYPE_CHECKING:
    from fnpack.check.native import Sample
    from fnpack.check.plan import Plan
    from fnpack.check.trial import Trial
    from fnpack.daemonless.parts import Parts

__all__ = ["OFF", "Check", "Outcome", "sample_of"]

STEP = "check"


class Outcome(NamedTuple):
    """What became of a check. `text` says why it was skipped, or what the sample gave."""

    status: Literal["passed", "remembered", "skipped", "off"]
    text: str = ""

    def facts(self) -> dict[str, str]:
        """The outcome as a program reads it."""
        return {"status": self.status} | ({"detail": self.text} if self.text else {})


OFF = Outcome("off")


class Check:
    """The check of a build's parts; a context manager that leaves no child process behind.

    `start` begins it beside what else there is to do; `wait` raises CheckFailed or CheckTooSlow if it did not pass.
    """

    def __init__(self, settings: BuildSettings, folder: Path, progress: Progress) -> None:
        self.settings, self.progress, self._folder = settings, progress, folder
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None
        self._has_engine = False
        self._cancel: Callable[[], None] = lambda: None
        self.outcome = OFF
        self.is_left_to_engine = False

    def __enter__(self) -> Check:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._cancel()
        if self._thread is not None:
            self._thread.join()

    def start(self, parts: Sequence[Parts], *, has_engine: bool = False) -> None:
        """Begin with the parts that this machine can run; says of the others why they are not checked.

        `has_engine`: what cannot run as it is can run in a container, once the image is there.
        """
        self._has_engine = has_engine
        if not self.settings.check:
            return
        from fnpack.check.plan import NotHere, plan_of

        sample = sample_of(self.settings)
        for part in parts:
            try:
                plan = plan_of(self.settings, part, sample, self.progress)
            except NotHere as reason:
                self.skip(str(reason), part.target.platform)
                continue
            if plan.known is not None:
                self._passed(plan.known)
            else:
                self._begin(plan)

    def skip(self, reason: str, platform: str) -> None:
        """Say that a platform's image is not checked, and why."""
        if self._has_engine:
            self.is_left_to_engine = True
            return
        self.outcome = Outcome("skipped", reason) if self.outcome is OFF else self.outcome
        self.progress(ProgressEvent(f"{STEP} for {platform}", "skipped", reason, phase="check"))

    def wait(self) -> None:
        """Return when the check has passed, or was skipped. Raises CheckFailed, CheckTooSlow."""
        if self._thread is not None:
            self._thread.join()
        self.stop_if_failed()

    def stop_if_failed(self) -> None:
        """Raise what is wrong if that is known already; does not wait."""
        if self._error is not None:
            raise self._error

    def _begin(self, plan: Plan) -> None:
        from fnpack.check.trial import Trial

        trial = Trial(plan)
        self._cancel = trial.cancel
        self._thread = threading.Thread(
            target=self._run, args=(trial, plan.platform), name="check", daemon=True
        )
        self._thread.start()

    def _run(self, trial: Trial, platform: str) -> None:
        from fnpack.check.native import Cancelled
        from fnpack.check.plan import NotHere

        since = time.monotonic()

        def took_s() -> float:
            return time.monotonic() - since

        with in_phase(self.progress, "check") as progress:
            progress(ProgressEvent(STEP, "started"))
            try:
                text = trial.run(self._folder)
            except Cancelled:
                return
            except NotHere as reason:
                self.skip(str(reason), platform)
            except BaseException as error:
                self._error = error
                progress(ProgressEvent(STEP, "failed", duration_s=took_s()))
            else:
                self.outcome = Outcome("passed", text)
                progress(ProgressEvent(STEP, "done", text, duration_s=took_s()))

    def _passed(self, text: str) -> None:
        self.outcome = Outcome("remembered", text)
        self.progress(ProgressEvent(STEP, "cached", text, phase="check"))


def sample_of(settings: BuildSettings) -> Sample | None:
    """The sample as the first trigger would bring it. Raises ConfigurationError if it cannot be read."""
    if settings.sample is None:
        return None
    import mimetypes

    from fnpack.check.native import Sample
    from fnpack.errors import ConfigurationError, Problem

    try:
        data = settings.sample.read_bytes()
    except OSError as error:
        raise ConfigurationError([Problem("--sample", f"{settings.sample}: {error.strerror}")]) from error
    is_http = isinstance(settings.app.triggers[0], HttpTrigger)
    content_type = mimetypes.guess_type(settings.sample.name)[0] or "application/json"
    return Sample(data, "http" if is_http else "event", content_type)
