"""`fnpack model script`: the built-in entry script of a model, for people who want to change it."""

from __future__ import annotations

from pathlib import Path

import click

from fnpack.cli import ExampleCommand
from fnpack.cli.terminal import Terminal


@click.command(
    cls=ExampleCommand,
    examples="""\
  fnpack model script model.onnx > score.py
  fnpack model script model.pkl --requirements > requirements.txt
  fnpack model script diabetes:1
""",
)
@click.argument("model")
@click.option("--requirements", is_flag=True, help="Print the packages that the model needs, one a line.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--debug", is_flag=True, help="Show stack traces of errors.")
def script(model: str, requirements: bool, as_json: bool, debug: bool) -> None:
    """Print the entry script that serves MODEL where none is given: a path, or NAME[:VERSION] of the registry.

    The model's file is read, and not loaded.
    """
    from fnpack.models.references import ModelFinder
    from fnpack.no_code import find
    from fnpack.no_code.script import script_for

    terminal = Terminal(as_json=as_json, debug=debug)
    path = Path(model)
    if not path.exists():
        source = ModelFinder(Path.cwd(), terminal.progress).find(model)
        if source is None:
            raise click.UsageError(f"there is neither a file nor a registered model `{model}`")
        path = source.path
    found, inner = find(path.absolute())
    text = script_for(found, inner)
    terminal.say(found.title, style="dim")
    for note in found.notes:
        terminal.warn(note)
    terminal.result(
        {
            "model": found.title,
            "framework": found.framework,
            "version": found.version,
            "requirements": list(found.requirements),
            "script": text,
        }
    )
    terminal.data("\n".join(found.requirements) if requirements else text.rstrip("\n"))
