"""`fnpack receive`: takes messages and dead letters, and may send dead letters again."""

from __future__ import annotations

from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fnpack.cli import ExampleCommand
from fnpack.cli.places import place_options, plural, show
from fnpack.cli.terminal import Terminal

if TYPE_CHECKING:
    from fnpack.messages.message import Message

EXAMPLES = """\
  fnpack receive queue:out
  fnpack receive topic:results/fnpack-dev --count 100 --timeout 30
  fnpack receive queue:in --dead-letter --requeue --count 100
"""


@click.command(cls=ExampleCommand, examples=EXAMPLES)
@click.argument("source")
@click.option("--dead-letter", is_flag=True, help="Take dead letters; of a storage queue, its poison queue.")
@click.option("--requeue", is_flag=True, help="Send each dead letter again, as a new message.")
@click.option("--count", type=click.IntRange(1), default=1, show_default=True, help="How many at most.")
@click.option("--session", metavar="ID", help="Of this session only, for Service Bus.")
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(0),
    default=10.0,
    show_default=True,
    metavar="SECONDS",
    help="Wait so long for the first.",
)
@place_options
def receive(  # noqa: PLR0917 - click passes them by name
    source: str,
    dead_letter: bool,
    requeue: bool,
    count: int,
    session: str | None,
    timeout_s: float,
    connection: str | None,
    state: Path | None,
    as_json: bool,
    debug: bool,
) -> None:
    """Take messages from SOURCE: print each, then complete it.

    SOURCE is queue:NAME or topic:NAME/SUBSCRIPTION (Service Bus), or storage-queue:NAME. Where no message comes in
    time, the exit code is 1.
    """
    from fnpack.messages.connection import Connections
    from fnpack.messages.errors import NothingCame
    from fnpack.messages.place import read_source

    if requeue and not dead_letter:
        raise click.UsageError("--requeue sends dead letters again: give --dead-letter too")
    terminal = Terminal(as_json=as_json, debug=debug)
    place = read_source(source)
    if place.kind == "blob":
        raise click.UsageError(f"blobs are looked at, not received: fnpack peek {place}")
    if place.is_in_storage and session:
        raise click.UsageError(f"--session is for Service Bus; a {place.kind} has none")
    if requeue and place.kind == "topic":
        terminal.warn(f"they are sent to {place.target}, so that each of its subscriptions gets them again")
    connections = Connections(connection, state)
    found: list[Message] = []
    with ExitStack() as stack:
        if place.kind == "storage-queue":
            from fnpack.messages.storage_queue import StorageQueue

            queue = StorageQueue(connections.storage(), place, dead_letter=dead_letter)
            messages = queue.receive(count, timeout_s, requeue=requeue)
        else:
            from fnpack.messages.service_bus import Bus

            bus = stack.enter_context(Bus(connections.bus()))
            messages = bus.receive(
                place, count, timeout_s, dead_letter=dead_letter, session=session, requeue=requeue
            )
        for message in stack.enter_context(closing(messages)):
            found.append(message)
            show(terminal, message)
    if not found:
        what = "dead letter" if dead_letter else "message"
        raise NothingCame(
            f"no {what} came from {place} within {timeout_s:g} s",
            hint="`fnpack peek` shows what is there; the log of `fnpack dev` says what became of the input",
        )
    facts = [message.as_json() for message in found]
    terminal.result({"place": str(place), "messages": facts, "requeued": requeue})
    done = f"sent again to {place.target}" if requeue else f"taken from {place}"
    terminal.say(f"{plural(len(found), 'message')} {done}, {terminal.elapsed_s:.1f} s", style="dim")
