"""`fnpack invoke`: send a file or text to a running function, print what it answers."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import BinaryIO

import click

from fnpack.cli import ExampleCommand
from fnpack.cli.run import environment_port, project_instead
from fnpack.cli.terminal import Terminal

EXAMPLES = """\
  fnpack invoke app/ --file sample_input.json
  fnpack invoke app/ --function score --data '{"data": [[1, 2]]}'
  fnpack invoke --function score-queue --file sample_input.json
  fnpack invoke app/ --function score --file sample_input.json --url https://myapp.example --key "$KEY"
"""


@click.command(cls=ExampleCommand, examples=EXAMPLES)
@click.argument("appdir", default=".", type=click.Path(path_type=Path))
@click.option("--function", "-f", "name", help="Which function; needed where the app has several.")
@click.option("--file", "file", type=click.File("rb"), help="The input; - reads standard input.")
@click.option("--data", help="The input as text.")
@click.option("--url", help="Where the host runs. [default: http://localhost:7071]")
@click.option("--key", envvar="FNPACK_KEY", default="", help="Function key, also from FNPACK_KEY.")
@click.option("--blob-name", help="Name of the blob to drop. [default: from the file's name]")
@click.option(
    "--timeout", "timeout_s", type=click.FloatRange(min=0.1), default=60.0, show_default=True, help="Seconds."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--debug", is_flag=True, help="Show stack traces of errors.")
def invoke(  # noqa: PLR0917 - click passes them by name
    appdir: Path,
    name: str | None,
    file: BinaryIO | None,
    data: str | None,
    url: str | None,
    key: str,
    blob_name: str | None,
    timeout_s: float,
    as_json: bool,
    debug: bool,
) -> None:
    """Send input to a running function of the app in APPDIR, whatever its trigger, and print its output.

    An HTTP function is called; for a blob function the input is dropped as a blob, for a function that a message
    starts it is sent as one; then the output is awaited. Where `fnpack dev` runs the app, its services are used.
    """
    from fnpack.dev.state import find_app
    from fnpack.invoke import Input, InvokeError, Output, http, load_function

    if (file is None) == (data is None):
        raise click.UsageError("give the input with either --file or --data")
    terminal = Terminal(as_json=as_json, debug=debug)
    running = find_app(appdir)
    if running is None and (project := project_instead(appdir)):
        raise InvokeError(project[0], hint=project[1])
    root = appdir if running is None else Path(running.app)
    app, function = load_function(root, name, running.settings if running is not None else {})
    payload = file.read() if file is not None else (data or "").encode()
    if not payload:
        terminal.warn("the input is empty; the entry script gets an empty text")
    given = Input(
        payload, Path(file.name).name if file is not None and file.name != "<stdin>" else "input", blob_name
    )
    output: Output
    match function.trigger.type:
        case "httptrigger":
            running_at = running.url if running is not None else ""
            base = url or running_at or f"http://localhost:{environment_port()}"
            output = http.call(app, function, given, base_url=base, key=key, timeout_s=timeout_s)
        case "blobtrigger":
            from fnpack.invoke import blob  # brings the azure libraries with it

            output = blob.call(app, function, given, timeout_s=timeout_s)
        case "servicebustrigger":
            from fnpack.invoke import message

            output = message.call_bus(app, function, given, timeout_s=timeout_s)
        case "queuetrigger":
            from fnpack.invoke import message

            output = message.call_queue(app, function, given, timeout_s=timeout_s)
        case other:
            raise InvokeError(
                f"function {function.name} has a {other}, which takes no input",
                hint='start it by hand: POST {"input": ""} to /admin/functions/' + function.name,
            )
    text = output.payload.decode("utf-8", "replace")
    terminal.result(
        {"function": function.name, "from": output.source, "type": output.content_type, "output": text}
    )
    if not as_json and (output.payload or function.outputs or function.is_http):
        sys.stdout.buffer.write(output.payload + (b"" if output.payload.endswith(b"\n") else b"\n"))
    terminal.say(f"{output.source}, {terminal.elapsed_s:.2f} s", style="dim")
