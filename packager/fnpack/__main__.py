"""Entry of the `fnpack` command: runs it and turns every outcome into an exit code."""

from __future__ import annotations

import sys

if __name__ == "__main__" and not getattr(sys.flags, "safe_path", False):
    del sys.path[
        0
    ]  # `python -m` puts the current folder first: a json.py of the project must not become ours

import gc
import signal
from types import FrameType


def main() -> None:
    """Run the command line and exit with its code."""
    # SIGTERM (a cancelled CI job) unwinds as Ctrl-C does, so that nothing half-made is left; a host sets its own.
    signal.signal(signal.SIGTERM, _interrupt)
    if sys.argv[1:2] == ["build"]:
        # In seconds: a registry's answer shall not wait for what is computed beside it.
        sys.setswitchinterval(0.0005)
        gc.set_threshold(100_000, 50, 100)  # a short life: modules make many objects, and no garbage
    try:
        from fnpack.cli import run

        code = run(sys.argv[1:])
    except KeyboardInterrupt:  # before the command line had begun
        code = 130
    gc.freeze()  # Python looks for garbage at its end, which takes a tenth of a short command
    sys.exit(code)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
