"""What `fnpack send`, `peek` and `receive` share: their options, and how messages are shown."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

if TYPE_CHECKING:
    from fnpack.cli.terminal import Terminal
    from fnpack.messages.message import Message

F = TypeVar("F", bound=Callable[..., object])


def place_options(command: F) -> F:
    """The options that find the service and form the output."""
    options = (
        click.option(
            "--connection",
            metavar="SETTING",
            help="Name of a setting with the connection string, or the string. [default: that of fnpack dev]",
        ),
        click.option(
            "--state",
            metavar="DIR",
            type=click.Path(path_type=Path),
            help="Where fnpack dev keeps its state. [default: .fnpack/dev, here or above]",
        ),
        click.option("--json", "as_json", is_flag=True, help="Print one JSON object."),
        click.option("--debug", is_flag=True, help="Show stack traces of errors."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def write_body(body: bytes) -> None:
    """A body alone on stdout, with a line's end."""
    sys.stdout.buffer.write(body + (b"" if body.endswith(b"\n") else b"\n"))
    sys.stdout.buffer.flush()


def show(terminal: Terminal, message: Message) -> None:
    """A message: its body on stdout, what is known of it on stderr."""
    if not terminal.as_json:
        terminal.say(message.describe(), style="dim")
        write_body(message.body)


def plural(count: int, noun: str) -> str:
    """`1 message`, `2 messages`."""
    return f"{count} {noun}" + ("" if count == 1 else "s")
