"""Entry of an image: `python -m fnpack_host [APPDIR]`. Keys are always enforced here."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from fnpack_triggers.errors import FnpackError

DEFAULT_PORT = 8080


def main() -> int:
    """Run the app directory of an image; returns the exit code (0 drained, 3 could not start)."""
    parser = argparse.ArgumentParser(
        prog="python -m fnpack_host", description="Runs a function-app directory."
    )
    root = os.environ.get("AzureWebJobsScriptRoot", ".")  # noqa: SIM112 - Azure's own spelling
    parser.add_argument("app", nargs="?", default=root, help="the folder that holds host.json")
    parser.add_argument("--address", default=os.environ.get("FNPACK_ADDRESS", "0.0.0.0"))  # noqa: S104 - an image serves its network
    parser.add_argument("--port", type=int, default=int(os.environ.get("FNPACK_PORT") or DEFAULT_PORT))
    parser.add_argument("--verbose", action="store_true")
    arguments = parser.parse_args()

    from fnpack_host.host import HostOptions
    from fnpack_host.run import exit_with, run_app

    options = HostOptions(
        address=arguments.address,
        port=arguments.port,
        enforce_keys=True,
        log_as_json=os.environ.get("FNPACK_LOG_FORMAT") == "json",
    )
    try:
        return run_app(Path(arguments.app), options, verbose=arguments.verbose)
    except FnpackError as error:
        return exit_with(error)


if __name__ == "__main__":
    sys.exit(main())
