"""`fnpack migrate`: rewrites SDK v1 imports of scripts and notebooks, and lists what a person has to decide."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from fnpack.cli import ExampleCommand
from fnpack.cli.exit_codes import ExitCode
from fnpack.cli.terminal import Terminal

if TYPE_CHECKING:
    from fnpack.migration.files import Migrated

EXAMPLES = """\
  fnpack migrate .
  fnpack migrate deploy.ipynb --diff
  fnpack migrate src/ --check
"""


@click.command(cls=ExampleCommand, examples=EXAMPLES)
@click.argument("path", type=click.Path(path_type=Path, exists=True))
@click.option("--check", is_flag=True, help="Write nothing; end with 1 if something would be rewritten.")
@click.option("--diff", is_flag=True, help="Write nothing; print the changes.")
@click.option(
    "--backup/--no-backup",
    default=None,
    help="Keep the old file as NAME.orig. [default: only outside of git]",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--debug", is_flag=True, help="Show stack traces of errors.")
def migrate(  # noqa: PLR0917 - click passes them by name
    path: Path, check: bool, diff: bool, backup: bool | None, as_json: bool, debug: bool
) -> int:
    """Rewrite the imports of Azure ML SDK v1 in PATH (script, notebook or folder); list what a person has to decide."""
    from fnpack.migration.files import is_in_git, migrate_path, write

    terminal = Terminal(as_json=as_json, debug=debug)
    found = list(migrate_path(path))
    changed = [one for one in found if one.changed]
    dry = check or diff
    keep = backup if backup is not None else not is_in_git(path)
    for one in [] if dry else changed:
        write(one, backup=keep)
    for one in changed:
        terminal.data(one.diff().rstrip("\n") if diff else str(one.path))
    _tell(terminal, found, dry=dry, kept=keep and not dry)
    terminal.result({"written": not dry, "files": [_facts(one, dry=dry) for one in found]})
    return ExitCode.FAILED if check and changed else ExitCode.OK


def _tell(terminal: Terminal, found: list[Migrated], *, dry: bool, kept: bool) -> None:
    for one in found:
        if one.is_entry_script:
            terminal.say(f"{one.path}: an entry script; it needs no change", style="dim")
        if one.problem is not None:
            terminal.say(f"{one.path}: {one.problem}", style="red")
        for finding in one.findings:
            cell = f"cell {finding.cell}, line " if finding.cell is not None else ""
            line = finding.line if dry else finding.new_line or finding.line
            terminal.say(f"{one.path}:{cell}{line}: {finding.name}: {finding.instead}", style="yellow")
    changed = sum(one.changed for one in found)
    people = sum(len(one.findings) for one in found) + sum(one.problem is not None for one in found)
    verb = "would be rewritten" if dry else "rewritten"
    more = ", the old ones kept as .orig" if kept and changed else ""
    terminal.say(
        f"{_count(changed, 'file')} {verb}{more}; {_count(people, 'place')} for you to decide", style="bold"
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _facts(one: Migrated, *, dry: bool) -> dict[str, object]:
    findings = [
        {
            "line": found.line if dry else found.new_line or found.line,
            "cell": found.cell,
            "name": found.name,
            "instead": found.instead,
        }
        for found in one.findings
    ]
    return {
        "path": str(one.path),
        "rewritten": one.changed,
        "entry_script": one.is_entry_script,
        "problem": one.problem,
        "to_decide": findings,
    }
