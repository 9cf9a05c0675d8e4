"""`fnpack dev`: an app with all that it needs of Azure, on this machine, until Ctrl-C."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from fnpack.cli import ExampleCommand
from fnpack.cli.terminal import Terminal

if TYPE_CHECKING:
    from fnpack.dev.state import Running
    from fnpack_host.app.function_app import FunctionApp

EXAMPLES = """\
  fnpack dev                        the function app or project here
  fnpack dev app/ --port 0          on any free port
  fnpack dev --services-only        storage and Service Bus alone, for other tools
"""
_PORT = click.IntRange(0, 65535)


@click.command(cls=ExampleCommand, examples=EXAMPLES, name="dev")
@click.argument("appdir", default=".", type=click.Path(path_type=Path))
@click.option(
    "--port", "-p", type=_PORT, help="Port to listen on; 0 takes any free one. [default: 7071, if it is free]"
)
@click.option("--services-only", is_flag=True, help="Run storage and Service Bus, and no app.")
@click.option("--no-reload", is_flag=True, help="Do not start again when code changes.")
@click.option(
    "--state",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where blobs and messages are kept. [default: .fnpack/dev]",
)
@click.option("--no-state", is_flag=True, help="Keep blobs and messages in memory.")
@click.option(
    "--storage-port",
    type=click.IntRange(0, 65533),
    help="First of three ports of the storage. [default: 10000, if they are free]",
)
@click.option("--servicebus-port", type=_PORT, help="Port of the Service Bus. [default: 5672, if it is free]")
@click.option(
    "--config",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Queues and topics to create: a Config.json of the official Service Bus emulator.",
)
@click.option("--verbose", is_flag=True, help="Log in detail.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object that says what runs; log JSON lines."
)
@click.option("--debug", is_flag=True, help="Show stack traces of errors.")
def dev(  # noqa: PLR0917 - click passes them by name
    appdir: Path,
    port: int | None,
    services_only: bool,
    no_reload: bool,
    state: Path | None,
    no_state: bool,
    storage_port: int | None,
    servicebus_port: int | None,
    config: Path | None,
    verbose: bool,
    as_json: bool,
    debug: bool,
) -> int:
    """Run the function app or project APPDIR with the storage and the Service Bus that it needs, until Ctrl-C.

    Starts Azurite and a development Service Bus, creates the containers, queues, topics and subscriptions that the
    functions name, and starts the app again when its code changes. A connection that is set already, in the
    environment or in local.settings.json, is used as it is.
    """
    from fnpack.dev.services import ServiceOptions
    from fnpack.dev.session import DevOptions, run
    from fnpack.dev.state import DEFAULT_FOLDER

    terminal = Terminal(as_json=as_json, debug=debug)
    folder = state or DEFAULT_FOLDER
    data = None if no_state else folder
    options = DevOptions(
        appdir,
        folder,
        ServiceOptions(data and data.absolute(), storage_port, servicebus_port, config),
        port=port,
        is_reloading=_can_reload(terminal) if not no_reload and not services_only else False,
        is_state_usual=state is None,
        log_as_json=as_json,
        verbose=verbose,
    )
    told: list[Running] = []

    def started(running: Running, app: FunctionApp | None) -> None:
        if not told:
            told.append(running)
            terminal.result(_facts(running, app))
            if services_only:
                for name, value in running.settings.items():
                    terminal.data(f"{name}={value}")
                terminal.say(f"ready in {terminal.elapsed_s:.1f} s; Ctrl-C stops both", style="dim")

    return run(options, terminal, services_only=services_only, on_started=started)


def _can_reload(terminal: Terminal) -> bool:
    from importlib.util import find_spec

    if find_spec("watchfiles") is None:
        terminal.warn("changes of code are not followed: pip install 'fnpack[dev]'")
        return False
    return True


def _facts(running: Running, app: FunctionApp | None) -> dict[str, object]:
    functions = [
        {"name": one.name, "trigger": next((b.type for b in one.bindings if b.is_trigger), None)}
        | ({"error": one.error} if one.error else {})
        for one in (app.functions if app else ())
    ]
    return {
        "pid": running.pid,
        "settings": running.settings,
        **({"url": running.url, "app": running.app, "functions": functions} if app else {}),
    }
