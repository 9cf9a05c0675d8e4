"""`fnpack doctor`: what this machine has of all that fnpack needs, and how to mend what is missing."""

from __future__ import annotations

import click

from fnpack.cli import ExampleCommand
from fnpack.cli.exit_codes import ExitCode
from fnpack.cli.terminal import Terminal

EXAMPLES = """\
  fnpack doctor
  fnpack doctor --json
"""


@click.command(cls=ExampleCommand, examples=EXAMPLES)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--debug", is_flag=True, help="Show stack traces of errors.")
def doctor(as_json: bool, debug: bool) -> int:
    """Look at this machine and say what is missing, and how to mend it; changes nothing.

    The exit code is 4 where something is missing that a command needs.
    """
    from fnpack.doctor import examine

    terminal = Terminal(as_json=as_json, debug=debug)
    checks = examine()
    missing = [one for one in checks if one.state == "missing"]
    terminal.result({"checks": [one.facts() for one in checks], "missing": len(missing)})
    width = max(len(one.name) for one in checks)
    for one in checks:
        terminal.data(f"{one.state:<8} {one.name:<{width}}  {one.found}")
        if one.fix and one.state != "ok":
            terminal.data(f"{'':<8} {'':<{width}}  -> {one.fix}")
    summary = f"{len(missing)} of {len(checks)} checks found something missing" if missing else "all is there"
    terminal.say(f"{summary}, {terminal.elapsed_s:.1f} s", style="red" if missing else "green")
    return ExitCode.MISSING_TOOL if missing else ExitCode.OK
