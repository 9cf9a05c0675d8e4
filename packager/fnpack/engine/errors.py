"""What can go wrong between fnpack and a Docker Engine, with what to do about each."""

from __future__ import annotations

from collections.abc import Sequence

from fnpack_triggers.errors import FnpackError

WITHOUT_AN_ENGINE = (
    "Without a Docker Engine, `fnpack build --dockerfile-only DIR` writes the Dockerfile and its context, "
    "and `fnpack build --app-only DIR` writes the function app."
)


class EngineMissing(FnpackError):  # noqa: N818 - says what happened
    """No Docker Engine that can do the work answers here."""

    code = "FN410"
    exit_code = 4

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__(message, hint=f"{hint} {WITHOUT_AN_ENGINE}")


class BaseImageUnavailable(FnpackError):  # noqa: N818 - says what happened
    """The base image is not on the Engine and no registry gave it; the text holds the registry's answer."""

    code = "FN411"


class BaseImageWithoutPython(FnpackError):  # noqa: N818 - says what happened
    """The base image has no usable `python3`."""

    code = "FN412"


class ImageBuildFailed(FnpackError):  # noqa: N818 - says what happened
    """A build step failed. `step` names it, `output` is the tail of what it printed."""

    code = "FN413"
    hint = (
        "Mend what the step says; `fnpack build --dockerfile-only DIR` writes the Dockerfile and its context, "
        "to look at and to build by hand."
    )

    def __init__(
        self, reason: str, *, step: str | None = None, output: Sequence[str] = (), hint: str | None = None
    ) -> None:
        where = f"image build failed at `{step}`: {reason}" if step else f"image build failed: {reason}"
        super().__init__("\n".join([where, *(f"  | {line}" for line in output)]), hint=hint)
        self.reason, self.step, self.output = reason, step, tuple(output)


class PushFailed(FnpackError):  # noqa: N818 - says what happened
    """The registry did not take the image; the text holds its answer."""

    code = "FN414"
