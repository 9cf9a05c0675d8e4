"""The command tree of `fnpack`. Each command lives in its own module and is imported only when it is called."""

from __future__ import annotations

import importlib
from collections.abc import Sequence

import click

from fnpack import __version__
from fnpack.cli.exit_codes import ExitCode
from fnpack_triggers.errors import FnpackError

EXAMPLES = """\
  fnpack build --model model.pkl --entry-script score.py --trigger blob
  docker run -p 8080:8080 $(fnpack build --trigger http)
  fnpack dev
  fnpack run app/
  fnpack invoke app/ --file sample_input.json
"""


class ExampleCommand(click.Command):
    """A command whose help begins with what it does and with examples."""

    def __init__(self, *args: object, examples: str = "", **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self.examples = examples

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write text, examples, usage, options."""
        self.format_help_text(ctx, formatter)
        write_examples(formatter, self.examples)
        formatter.write_paragraph()
        self.format_usage(ctx, formatter)
        self.format_options(ctx, formatter)


class LazyGroup(click.Group):
    """A group whose commands are import strings: `fnpack --help` imports none of them."""

    def __init__(
        self, *args: object, commands_at: dict[str, tuple[str, str]], examples: str = "", **kwargs: object
    ) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self.commands_at, self.examples = commands_at, examples

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands, in the order a newcomer needs them."""
        return list(self.commands_at)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command, or None where there is none of that name."""
        if cmd_name not in self.commands_at:
            return None
        module, _, attribute = self.commands_at[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; an unknown one gets a suggestion."""
        if args and not args[0].startswith("-") and args[0] not in self.commands_at:
            import difflib

            near = difflib.get_close_matches(args[0], list(self.commands_at), n=1)
            hint = f" Did you mean `{near[0]}`?" if near else ""
            raise click.UsageError(f"no command `{args[0]}`.{hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write text, examples, usage, options, commands."""
        self.format_help_text(ctx, formatter)
        write_examples(formatter, self.examples)
        formatter.write_paragraph()
        self.format_usage(ctx, formatter)
        self.format_options(ctx, formatter)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands from their one-line texts, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in self.commands_at.items()])


def write_examples(formatter: click.HelpFormatter, examples: str) -> None:
    """The examples of a command, as they would be typed."""
    if examples:
        formatter.write_paragraph()
        formatter.write("Examples:\n" + examples.rstrip("\n") + "\n")


@click.command(
    cls=LazyGroup,
    commands_at={
        "build": ("fnpack.cli.build:build", "turn model, script and configuration into an image"),
        "dev": ("fnpack.cli.dev:dev", "run an app with the storage and Service Bus that it needs"),
        "run": ("fnpack.cli.run:run_command", "run a function-app directory, without an image"),
        "invoke": ("fnpack.cli.invoke:invoke", "send input to a running function and print its output"),
        "inspect": ("fnpack.cli.inspect:inspect", "show what is in an image, without pulling it"),
        "model": ("fnpack.cli.model:model", "keep models by name and version"),
        "migrate": ("fnpack.cli.migrate:migrate", "rewrite the imports of code for Azure ML SDK v1"),
        "send": ("fnpack.cli.send:send", "send a message to a queue or topic, or drop a blob"),
        "peek": ("fnpack.cli.peek:peek", "look at messages, dead letters and blobs"),
        "receive": ("fnpack.cli.receive:receive", "take messages or dead letters"),
        "doctor": ("fnpack.cli.doctor:doctor", "say what this machine lacks, and how to mend it"),
        "host": ("fnpack.cli.host:host", "run a function app with the conventions of Azure's `func`"),
    },
    examples=EXAMPLES,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="fnpack", message="%(prog)s %(version)s")
def cli() -> None:
    """Turn a trained model and its scoring script into a function app that scores HTTP requests, blobs and messages."""


def run(arguments: Sequence[str]) -> int:
    """Run the command line; returns the exit code. Never raises."""
    as_json, debug = "--json" in arguments, "--debug" in arguments
    try:
        outcome = cli.main(list(arguments), prog_name="fnpack", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return ExitCode.USAGE
    except (Exception, KeyboardInterrupt) as error:
        from fnpack.cli.failures import show

        return show(
            _as_ours(error, arguments), as_json=as_json, debug=debug, progress=_progress_of(arguments)
        )
    return outcome if isinstance(outcome, int) else ExitCode.OK


def _progress_of(arguments: Sequence[str]) -> str:
    """Whether a program reads stderr, and so the error too."""
    words = " ".join(arguments)
    return "json" if "--progress json" in words or "--progress=json" in words else "auto"


def _as_ours(error: Exception | KeyboardInterrupt, arguments: Sequence[str]) -> FnpackError:
    from fnpack.cli.failures import Interrupted, unexpected, usage_fault

    match error:
        case FnpackError():
            return error
        case click.UsageError():
            found: FnpackError = usage_fault(error, arguments)
        case click.Abort() | KeyboardInterrupt():
            found = Interrupted()
        case _:
            found = unexpected(error)
    found.__cause__ = error
    return found
