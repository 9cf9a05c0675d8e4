"""`fnpack host start`: the conventions of Azure's `func` tool, for fingers that know it."""

from __future__ import annotations

from pathlib import Path

import click

from fnpack.cli import ExampleCommand, LazyGroup
from fnpack.cli.run import start

EXAMPLES = """\
  fnpack host start
  fnpack host start --port 7072 --verbose
"""


@click.command(
    cls=LazyGroup,
    commands_at={"start": ("fnpack.cli.host:start_command", "run the function app in the current directory")},
    examples=EXAMPLES,
)
def host() -> None:
    """Run a function app the way `func host start` does."""


@click.command(cls=ExampleCommand, examples=EXAMPLES, name="start")
@click.option("--port", "-p", type=click.IntRange(0, 65535), help="Port to listen on. [default: 7071]")
@click.option("--enableAuth", "enable_auth", is_flag=True, help="Enforce function keys.")
@click.option("--verbose", is_flag=True, help="Log in detail.")
@click.option("--json", "as_json", is_flag=True, help="Log JSON lines; print an error as one JSON object.")
@click.option("--debug", is_flag=True, help="Show stack traces of errors.")
def start_command(port: int | None, enable_auth: bool, verbose: bool, as_json: bool, debug: bool) -> int:
    """Run the function app in the current directory, honouring local.settings.json."""
    return start(
        Path(), port=port, address="127.0.0.1", enable_auth=enable_auth, log_as_json=as_json, verbose=verbose
    )
