"""What `--help` promises: text and examples first, every option with a sentence, and nothing heavy imported."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import click
import pytest

from fnpack.cli import cli


def commands(command: click.Command = cli, *path: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command of the tree with the words that call it."""
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child is not None
            yield from commands(child, *path, name)


TREE = dict(commands())


@pytest.mark.parametrize("path", TREE, ids=" ".join)
def test_help_begins_with_text_and_examples(path, fnpack) -> None:
    ended = fnpack(*path, "--help")
    assert (ended.code, ended.stderr) == (0, "")
    text, examples, usage, options = (
        ended.stdout.find(part) for part in ("  ", "Examples:\n", "Usage: ", "Options:\n")
    )
    assert 0 == text < examples < usage < options
    command = " ".join(("fnpack", *path))
    assert f"\n  {command}" in ended.stdout[examples:usage]
    assert ended.stdout[usage:].startswith(f"Usage: {command}")
    assert max(map(len, ended.stdout.splitlines())) <= 110


@pytest.mark.parametrize("path", TREE, ids=" ".join)
def test_every_option_says_what_it_does(path) -> None:
    for parameter in TREE[path].params:
        if isinstance(parameter, click.Option):
            assert parameter.help, parameter.opts
            assert parameter.help.rstrip().endswith((".", "]")), parameter.help


def test_every_command_that_runs_has_json_and_debug() -> None:
    for path, command in TREE.items():
        if not isinstance(command, click.Group):
            options = {name for parameter in command.params for name in parameter.opts}
            assert {"--json", "--debug"} <= options, path


@pytest.mark.parametrize("path", [(), ("build",), ("run",), ("invoke",), ("inspect",)], ids=" ".join)
def test_help_imports_no_heavy_library(path) -> None:
    heavy = [
        "cyclonedx",
        "docker",
        "azure",
        "h2",
        "yaml",
        "uvicorn",
        "requests",
        "packaging",
        "asyncio",
        "fnpack_host.host",
    ]
    code = (
        "import sys\nfrom fnpack.cli import run\n"
        f"run({[*path, '--help']})\n"
        f"print([name for name in {heavy} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stderr == "[]\n"


def test_version_is_one_line(fnpack) -> None:
    from fnpack import __version__

    ended = fnpack("--version")
    assert (ended.code, ended.stdout, ended.stderr) == (0, f"fnpack {__version__}\n", "")


def test_no_command_shows_the_help_and_is_a_usage_error(fnpack) -> None:
    ended = fnpack()
    assert (ended.code, ended.stdout) == (2, "")
    assert "Examples:" in ended.stderr
