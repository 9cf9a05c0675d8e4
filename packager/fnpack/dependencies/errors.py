"""Why dependencies cannot be had: every failure between a requirement line and a wheel on disk."""

from __future__ import annotations

from fnpack_triggers.errors import FnpackError


class DependencyError(FnpackError):
    """Requirements cannot be locked; the text names where they came from."""

    code = "FN332"


class UnsatisfiableRequirements(DependencyError):  # noqa: N818 - says what they are
    """No set of versions fits the requirements; the text is the resolver's own reason."""

    code = "FN330"


class PackageIndexUnreachable(DependencyError):  # noqa: N818 - says what it is
    """The package index did not answer, or refused."""

    code = "FN331"


class ResolverMissing(DependencyError):  # noqa: N818 - says what it is
    """uv is not installed."""

    code = "FN333"
    exit_code = 4


class LockOutOfDate(DependencyError):  # noqa: N818 - says what it is
    """The lock file does not fit what is asked for, and it is not to be changed."""

    code = "FN480"


class LockFileError(DependencyError):
    """The lock file cannot be read, or is none."""

    code = "FN481"


class NoFittingWheel(DependencyError):  # noqa: N818 - says what it is
    """A locked package has no wheel for the image's platform and Python, and no source to build one from."""

    code = "FN482"


class DownloadFailed(DependencyError):  # noqa: N818 - says what it is
    """A package cannot be fetched."""

    code = "FN483"


class HashMismatch(DependencyError):  # noqa: N818 - says what it is
    """What was fetched is not what was locked."""

    code = "FN484"


class PackageIndexRefused(DependencyError):  # noqa: N818 - says what it is
    """The server of a package wants a login, or another one."""

    code = "FN485"


class SourceBuildFailed(DependencyError):  # noqa: N818 - says what it is
    """A package that has no wheel cannot be built into one."""

    code = "FN486"


class CompiledElsewhere(DependencyError):  # noqa: N818 - says what it is
    """A package was compiled here, and the result does not run in the image."""

    code = "FN487"


class CacheUnusable(DependencyError):  # noqa: N818 - says what it is
    """fnpack's cache folder cannot be written or has no space left."""

    code = "FN488"
