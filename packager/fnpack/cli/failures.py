"""How a command ends other than well: each such end as an error with a code, shown by the one Terminal."""

from __future__ import annotations

import re
import sys
import traceback
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fnpack.cli.exit_codes import ExitCode
from fnpack.cli.terminal import Terminal
from fnpack_triggers.errors import FnpackError

if TYPE_CHECKING:
    import click


class UsageFault(FnpackError):  # noqa: N818 - says what it is
    """The command line itself is wrong: an unknown command or option, a missing or impossible value."""

    code = "FN002"
    exit_code = ExitCode.USAGE


class Interrupted(FnpackError):  # noqa: N818 - says what happened
    """Ctrl-C or SIGTERM ended the command; what it had begun is undone."""

    code = "FN003"
    exit_code = ExitCode.INTERRUPTED

    def __init__(self) -> None:
        super().__init__("interrupted", hint="what had been begun is undone; run the command again")


class Bug(FnpackError):  # noqa: N818 - says what it is
    """Something happened that fnpack did not expect."""

    code = "FN070"
    exit_code = ExitCode.BUG

    def __init__(self, cause: Exception) -> None:
        where = traceback.extract_tb(cause.__traceback__)[-1:]
        at = f" (in {where[0].name}, line {where[0].lineno} of {where[0].filename})" if where else ""
        super().__init__(
            f"this is a bug in fnpack, not in what you did: {type(cause).__name__}: {cause}{at}",
            hint="run the command again with --debug, and report what it prints",
        )


_EXTRAS = {  # the others: build
    "azure.servicebus": "servicebus",
    "azure": "blob",
    "aiohttp": "blob",
    "uvicorn": "host",
    "httptools": "host",
    "watchfiles": "dev",
}


_POSIX = frozenset({"fcntl", "grp", "pwd", "resource", "termios"})


class SystemUnfit(FnpackError):  # noqa: N818 - says what happened
    """The command needs Linux or macOS."""

    code = "FN006"
    exit_code = ExitCode.MISSING_TOOL

    def __init__(self, module: str) -> None:
        super().__init__(
            f"this command runs on Linux and macOS alone: {sys.platform} has no `{module}`",
            hint="run it there, in a container or in WSL; `fnpack build` and `fnpack inspect` run here, too",
        )


class PackageMissing(FnpackError):  # noqa: N818 - says what happened
    """A Python package that this command needs is not installed: fnpack was installed without its extras."""

    code = "FN004"
    exit_code = ExitCode.MISSING_TOOL

    def __init__(self, module: str) -> None:
        extra = _EXTRAS.get(module) or _EXTRAS.get(module.partition(".")[0], "build")
        super().__init__(
            f"this command needs the Python module `{module}`, which is not installed",
            hint=f"pip install 'fnpack[{extra}]', or 'fnpack[all]' for everything",
        )


def unexpected(error: Exception) -> FnpackError:
    """An exception that is none of ours: a full disk, a package that is not installed, else a bug."""
    if isinstance(error, OSError):
        from fnpack.full_disk import as_full_disk

        if (full := as_full_disk(error)) is not None:
            return full
    module = error.name if isinstance(error, ModuleNotFoundError) and error.name else "fnpack"
    if module in _POSIX:
        return SystemUnfit(module)
    return Bug(error) if module.startswith("fnpack") else PackageMissing(module)


def usage_fault(error: click.UsageError, arguments: Sequence[str]) -> UsageFault:
    """click's error as ours."""
    import click

    message = re.sub(
        r"^([A-Z])(?=[a-z]+ )", lambda found: found[1].lower(), error.format_message().rstrip(".")
    )
    command = error.ctx.command_path if error.ctx else " ".join(["fnpack", *arguments[:1]])
    hint = f"`{command} --help` shows what is possible, with examples"
    if isinstance(error, click.BadParameter) and error.param is not None and error.param.name == "project":
        hint += "; was it part of a value with {braces}? Those go into single quotes"
    return UsageFault(message, hint=hint)


def show(error: FnpackError, *, as_json: bool, debug: bool, progress: str = "auto") -> int:
    """Print the error for a person or for a program; returns the exit code."""
    Terminal(as_json=as_json, debug=debug, progress=progress).fail(error)
    return int(error.exit_code)
