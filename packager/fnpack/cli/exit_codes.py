"""What the `fnpack` command exits with. Documented in docs/cli.md."""

from __future__ import annotations

import enum


class ExitCode(enum.IntEnum):
    """One meaning per number, for every command."""

    OK = 0
    FAILED = 1  # an expected failure: bad input, a refused push, a failed call
    USAGE = 2  # the command line itself is wrong
    HOST_NOT_STARTED = 3
    MISSING_TOOL = 4  # a tool or service that is needed is not there
    BUG = 70  # fnpack's fault
    INTERRUPTED = 130  # Ctrl-C
