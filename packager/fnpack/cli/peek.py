"""`fnpack peek`: looks at messages, dead letters and blobs, and leaves them where they are."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fnpack.cli import ExampleCommand
from fnpack.cli.places import place_options, plural, show, write_body
from fnpack.cli.terminal import Terminal

if TYPE_CHECKING:
    from fnpack.messages.connection import Connections
    from fnpack.messages.message import Message
    from fnpack.messages.place import Place

EXAMPLES = """\
  fnpack peek queue:in --dead-letter            what failed for good, and why
  fnpack peek topic:news/archive --count 3
  fnpack peek storage-queue:jobs
  fnpack peek blob:output                       which blobs there are
  fnpack peek blob:output/sample_out.json       what is in one
"""
_POLL_S = 0.2


@click.command(cls=ExampleCommand, examples=EXAMPLES)
@click.argument("source")
@click.option(
    "--dead-letter", is_flag=True, help="Look at dead letters; of a storage queue, its poison queue."
)
@click.option("--count", type=click.IntRange(1), default=10, show_default=True, help="How many at most.")
@click.option("--session", metavar="ID", help="Of this session only, for Service Bus.")
@click.option(
    "--wait",
    "wait_s",
    type=click.FloatRange(0),
    default=0.0,
    metavar="SECONDS",
    help="Wait so long until there is something.",
)
@place_options
def peek(  # noqa: PLR0917 - click passes them by name
    source: str,
    dead_letter: bool,
    count: int,
    session: str | None,
    wait_s: float,
    connection: str | None,
    state: Path | None,
    as_json: bool,
    debug: bool,
) -> None:
    """Look at what is in SOURCE, and leave it there.

    SOURCE is queue:NAME or topic:NAME/SUBSCRIPTION (Service Bus), storage-queue:NAME, blob:CONTAINER/NAME for what is
    in a blob, or blob:CONTAINER or blob:CONTAINER/BEGINNING for a list.
    """
    from fnpack.messages.connection import Connections
    from fnpack.messages.errors import NothingCame
    from fnpack.messages.place import read_source

    terminal = Terminal(as_json=as_json, debug=debug)
    place = read_source(source)
    if place.is_in_storage and session:
        raise click.UsageError(f"--session is for Service Bus; a {place.kind} has none")
    if place.kind == "blob" and dead_letter:
        raise click.UsageError(
            "blobs have no dead letters; those that failed are named in storage-queue:webjobs-blobtrigger-poison"
        )
    connections = Connections(connection, state)
    deadline = time.monotonic() + wait_s
    while True:
        if place.kind == "blob":
            found = _blobs(terminal, connections, place, count)
        else:
            found = _messages(terminal, connections, place, count, dead_letter=dead_letter, session=session)
        if found or time.monotonic() >= deadline:
            break
        time.sleep(_POLL_S)
    if not found and wait_s:
        raise NothingCame(
            f"nothing came to {place} within {wait_s:g} s", hint="the log of `fnpack dev` says more"
        )
    if not found:
        terminal.result({"place": str(place), ("blobs" if place.kind == "blob" else "messages"): []})
        terminal.say(f"nothing is in {place}", style="dim")


def _blobs(terminal: Terminal, connections: Connections, place: Place, count: int) -> bool:
    """Show a blob, or the list of those that begin so; False where there is none."""
    from fnpack.messages.blobs import Blobs
    from fnpack.messages.message import Message

    blobs = Blobs(connections.storage())
    body = blobs.read(place)
    if body is not None:
        terminal.result({"place": str(place), "blob": Message(body).as_json()})
        if not terminal.as_json:
            write_body(body)
        return True
    found = blobs.list(place, count)
    if found:
        facts = [{"name": one.name, "size_bytes": one.size_bytes, "modified": one.modified} for one in found]
        terminal.result({"place": str(place), "blobs": facts})
        for one in found:
            terminal.data(one.name)
        terminal.say(f"{plural(len(found), 'blob')} in {place}", style="dim")
    return bool(found)


def _messages(
    terminal: Terminal,
    connections: Connections,
    place: Place,
    count: int,
    *,
    dead_letter: bool,
    session: str | None,
) -> bool:
    """Show messages; False where there is none."""
    found: list[Message]
    if place.kind == "storage-queue":
        from fnpack.messages.storage_queue import StorageQueue

        found = StorageQueue(connections.storage(), place, dead_letter=dead_letter).peek(count)
    else:
        from fnpack.messages.service_bus import Bus

        with Bus(connections.bus()) as bus:
            found = bus.peek(place, count, dead_letter=dead_letter, session=session)
    if found:
        terminal.result({"place": str(place), "messages": [one.as_json() for one in found]})
        for one in found:
            show(terminal, one)
    return bool(found)
