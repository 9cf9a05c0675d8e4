"""Why a conda environment cannot be had."""

from __future__ import annotations

from fnpack.dependencies.errors import DependencyError


class UnsatisfiableConda(DependencyError):  # noqa: N818 - says what it is
    """No set of conda packages fits; the text is the solver's own reason."""

    code = "FN490"


class ChannelUnreachable(DependencyError):  # noqa: N818 - says what it is
    """A conda channel did not answer, refused, or does not exist."""

    code = "FN491"


class CondaToolsMissing(DependencyError):  # noqa: N818 - says what it is
    """py-rattler is not installed."""

    code = "FN492"
    exit_code = 4


class CondaInstallFailed(DependencyError):  # noqa: N818 - says what it is
    """A conda package cannot be fetched or laid out."""

    code = "FN493"


class CondaNotPossible(DependencyError):  # noqa: N818 - says what it is
    """The image cannot run a conda environment, or the environment holds no Python that the host runs."""

    code = "FN494"
