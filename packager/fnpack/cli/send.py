"""`fnpack send`: a message into a queue or topic, or a blob into a container."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

from fnpack.cli import ExampleCommand
from fnpack.cli.places import place_options, plural
from fnpack.cli.terminal import Terminal

if TYPE_CHECKING:
    from fnpack.messages.message import Draft

EXAMPLES = """\
  fnpack send queue:in --data '{"data": [1, 2]}'
  fnpack send topic:news --file news.json --property kind=urgent --count 3
  fnpack send storage-queue:jobs --data hello
  fnpack send blob:input/sample.json --file sample_input.json
"""


@click.command(cls=ExampleCommand, examples=EXAMPLES)
@click.argument("dest")
@click.option("--file", "file", type=click.File("rb"), help="What to send; - reads standard input.")
@click.option("--data", help="What to send, as text.")
@click.option("--count", type=click.IntRange(1), default=1, show_default=True, help="How many, all alike.")
@click.option("--session", metavar="ID", help="Session of the message, for Service Bus.")
@click.option(
    "--property",
    "properties",
    multiple=True,
    metavar="NAME=VALUE",
    help="Property of the message; repeatable.",
)
@click.option("--content-type", metavar="TYPE", help="Content type of the message or blob.")
@place_options
def send(  # noqa: PLR0917 - click passes them by name
    dest: str,
    file: BinaryIO | None,
    data: str | None,
    count: int,
    session: str | None,
    properties: tuple[str, ...],
    content_type: str | None,
    connection: str | None,
    state: Path | None,
    as_json: bool,
    debug: bool,
) -> None:
    """Send a message to DEST, or drop a blob there.

    DEST is queue:NAME or topic:NAME (Service Bus), storage-queue:NAME or blob:CONTAINER/NAME. The services are those
    of the `fnpack dev` that runs here, else those of the settings AzureWebJobsStorage, AzureWebJobsServiceBus and
    TriggerConnectionString.
    """
    if (file is None) == (data is None):
        raise click.UsageError("give what to send with either --file or --data")
    from fnpack.messages.connection import Connections
    from fnpack.messages.message import Draft
    from fnpack.messages.place import Place, read_target

    terminal = Terminal(as_json=as_json, debug=debug)
    place = read_target(dest)
    body = file.read() if file is not None else (data or "").encode()
    draft = Draft(body, content_type, session, _properties(properties))
    _refuse_unused(place.kind, count, draft)
    connections = Connections(connection, state)
    if place.kind == "blob":
        from fnpack.messages.blobs import Blobs

        if place.rest.endswith("/") and file is not None:
            place = Place(place.kind, place.name, place.rest + Path(file.name).name)
        Blobs(connections.storage()).write(place, body, content_type)
        ids = [str(place)]
    elif place.kind == "storage-queue":
        from fnpack.messages.storage_queue import StorageQueue

        ids = StorageQueue(connections.storage(), place, is_base64=connections.is_base64()).send(
            [draft] * count
        )
    else:
        from fnpack.messages.service_bus import Bus

        with Bus(connections.bus()) as bus:
            ids = bus.send(place, [draft] * count)
    terminal.result({"place": str(place), "ids": ids, "seconds": round(terminal.elapsed_s, 3)})
    for one in ids:
        terminal.data(one)
    what = "wrote" if place.kind == "blob" else f"sent {plural(len(ids), 'message')} to"
    terminal.say(f"{what} {place}, {terminal.elapsed_s:.1f} s", style="dim")


def _properties(given: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise click.UsageError(f"--property is `{text}`, but must be NAME=VALUE")
        found[name] = value
    return found


def _refuse_unused(kind: str, count: int, draft: Draft) -> None:
    is_in_storage = kind in ("blob", "storage-queue")
    if is_in_storage and (draft.session_id or draft.properties):
        raise click.UsageError(f"--session and --property are for Service Bus; a {kind} has neither")
    if kind == "storage-queue" and draft.content_type:
        raise click.UsageError("--content-type is for Service Bus and blobs; a storage-queue has none")
    if kind == "blob" and count > 1:
        raise click.UsageError("--count is for messages; a blob is written once")
