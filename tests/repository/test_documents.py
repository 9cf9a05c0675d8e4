"""Documents that can be followed: links resolve, commands parse, and what there is to know is there."""

from __future__ import annotations

import importlib
import json
import pkgutil
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from fnpack.cli import cli
from fnpack.cli.exit_codes import ExitCode
from fnpack.config import docker_section, inference, python_section
from fnpack.config.options import OPTIONS
from fnpack.config.project import read_project
from fnpack_triggers.errors import FnpackError

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
MAKE = re.compile(r"(?:^|`)(?:\.?/?)make ([a-z-]+)", re.MULTILINE)
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`(fnpack [^`]+)`")
CALL = re.compile(r"(?<![\w/.'-])fnpack((?:[ \t]+(?!&&|\||;|>)(?:'[^']*'|\"[^\"]*\"|[^\s'\")|;&`]+))*)")


@pytest.fixture(scope="module")
def documents(root: Path, tracked: list[Path]) -> dict[Path, str]:
    return {name: (root / name).read_text() for name in tracked if name.suffix == ".md"}


def docs(root: Path, name: str) -> str:
    return (root / "docs" / name).read_text("utf-8")


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


def section(text: str, heading: str) -> str:
    """A document's part from a heading to the next one of its level."""
    level = heading.split(" ", maxsplit=1)[0]
    found = re.search(rf"^{re.escape(heading)}\n(.*?)(?=^{level} |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, f"no section `{heading}`"
    return found[1]


def test_relative_links_resolve(root: Path, documents: dict[Path, str]) -> None:
    broken = [
        (str(name), link)
        for name, text in documents.items()
        for link in LINK.findall(text)
        if not re.match(r"[a-z]+:|#", link) and not (root / name.parent / link.partition("#")[0]).exists()
    ]
    assert not broken


def test_links_into_a_document_name_one_of_its_headings(root: Path, documents: dict[Path, str]) -> None:
    def anchors(text: str) -> set[str]:
        headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
        return {re.sub(r"[^\w -]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}

    broken = []
    for name, text in documents.items():
        for link in LINK.findall(text):
            target, mark, anchor = link.partition("#")
            path = (root / name.parent / target) if target else root / name
            if mark and ":" not in link and path.suffix == ".md" and anchor not in anchors(path.read_text()):
                broken.append((str(name), link))
    assert not broken


def test_make_targets_in_documents_exist(root: Path, documents: dict[Path, str]) -> None:
    known = set(re.findall(r"^([a-z-]+):.*##", (root / "Makefile").read_text(), re.MULTILINE))
    named = {(str(name), target) for name, text in documents.items() for target in MAKE.findall(text)}
    assert not [(name, target) for name, target in named if target not in known]


def test_ci_runs_the_readmes_test_command(root: Path) -> None:
    run = root / ".ci" / "run"
    assert run.stat().st_mode & 0o111
    assert run.read_text().rstrip().endswith("\nmake test")
    assert "make test" in (root / "README.md").read_text()


def calls(shell: str) -> list[list[str]]:
    """What follows `fnpack` in each call of a shell text."""
    joined = re.sub(r"\\\n\s*", " ", shell)
    plain = re.sub(r"(?:^|(?<=\s))#.*$|\s{3,}\S.*$", "", joined, flags=re.MULTILINE)
    return [shlex.split(found) for found in CALL.findall(plain)]


def fault(words: list[str]) -> str | None:
    """Why click would not take these words, or None."""
    command: click.Command = cli
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        child = command.get_command(click.Context(command), words[0])
        if child is None:
            return f"no command {words[0]}"
        command, words = child, words[1:]
    try:
        _, left, _ = command.make_parser(click.Context(command)).parse_args(list(words))
    except click.UsageError as error:
        return error.format_message()
    return f"left over: {left}" if left else None


def test_commands_in_documents_parse(documents: dict[Path, str]) -> None:
    found = [
        (str(name), words)
        for name, text in documents.items()
        for words in (
            *(
                words
                for kind, block in BLOCK.findall(text)
                if kind in ("sh", "bash", "console")
                for words in calls(block)
            ),
            *(words for code in INLINE.findall(text) for words in calls(re.sub(r"\[[A-Z]+\]", "", code))),
        )
    ]
    assert len(found) > 30
    assert not [(name, words, fault(words)) for name, words in found if fault(words)]


@pytest.mark.parametrize("path", TREE, ids=" ".join)
def test_examples_in_help_parse(path: tuple[str, ...]) -> None:
    found = calls(getattr(TREE[path], "examples", ""))
    assert found
    assert not [(words, fault(words)) for words in found if fault(words)]


def test_a_wrong_command_in_a_document_would_be_found() -> None:
    assert fault(["build", "--entry-scrpt", "x"])
    assert fault(["biuld"])
    assert fault(["run", "app", "other"])
    assert calls("docker run $(fnpack build --tag x) && fnpack run 'a b' # fnpack nothing") == [
        ["build", "--tag", "x"],
        ["run", "a b"],
    ]


@pytest.mark.parametrize(
    "path", [path for path in TREE if not isinstance(TREE[path], click.Group)], ids=" ".join
)
def test_options_and_their_documentation_are_the_same(root: Path, path: tuple[str, ...]) -> None:
    text = docs(root, "cli.md")
    rows = re.findall(r"^\| (`-.+?) \|", section(text, f"## fnpack {' '.join(path)}"), re.MULTILINE)
    documented = {name for row in rows for name in re.findall(r"(?<![\w-])--?[\w-]+", row)}
    for common in ("--help", "-h", "--debug", "--json"):
        assert f"`{common}`" in text.partition("\n## ")[0]
    options = {
        name
        for parameter in TREE[path].params
        if isinstance(parameter, click.Option)
        for name in (*parameter.opts, *parameter.secondary_opts)
    }
    assert documented - {"--json"} == options - {"--json", "--debug", "-h", "--help"}


def test_every_command_is_in_the_list_of_commands(root: Path) -> None:
    listed = re.findall(r"^\| `fnpack ([a-z ]+?)(?: \[\w+\])?` \|", docs(root, "cli.md"), re.MULTILINE)
    assert {tuple(words.split()) for words in listed} == {
        path for path, command in TREE.items() if not isinstance(command, click.Group)
    }


def test_exit_codes_and_their_documentation_are_the_same(root: Path) -> None:
    rows = re.findall(r"^\| (\d+) \|", section(docs(root, "cli.md"), "## Exit codes"), re.MULTILINE)
    assert [int(row) for row in rows] == [int(code) for code in ExitCode]


def errors() -> set[type[FnpackError]]:
    """Every error class of the tree; all modules are imported to find them."""
    for root in ("fnpack", "fnpack_host", "fnpack_triggers", "fnpack_templates"):
        package = importlib.import_module(root)
        for module in pkgutil.walk_packages(package.__path__, f"{root}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)

    def below(kind: type[FnpackError]) -> Iterator[type[FnpackError]]:
        yield kind
        for child in kind.__subclasses__():
            yield from below(child)

    return {kind for kind in below(FnpackError) if kind.__module__.startswith("fnpack")}


def test_every_error_has_a_code_of_its_own_and_is_documented(root: Path) -> None:
    # The development Service Bus tells its refusals apart by the AMQP condition that its clients see.
    kinds = sorted(
        (kind for kind in errors() if "code" in vars(kind) or not hasattr(kind, "condition")),
        key=lambda kind: kind.code,
    )
    assert not [kind for kind in kinds if "code" not in vars(kind)], "without a code of its own"
    codes = [kind.code for kind in kinds]
    assert not [(kind, kind.code) for kind in kinds if codes.count(kind.code) > 1], (
        "two classes with one code"
    )
    assert not [code for code in codes if not re.fullmatch(r"FN\d{3}", code)]
    rows = re.findall(r"^\| (FN\d{3}) \|", docs(root, "errors.md"), re.MULTILINE)
    assert rows == sorted(set(rows))
    assert set(codes) - set(rows) == set(), "not in docs/errors.md"
    assert set(rows) - set(codes) == set(), "documented, but no error has it"


def test_every_error_ends_with_a_documented_exit_code() -> None:
    assert {int(kind.exit_code) for kind in errors()} <= {int(code) for code in ExitCode}


def test_every_option_of_a_build_is_documented_with_its_key_and_variable(root: Path) -> None:
    rows = re.findall(
        r"^\| `(--.+?)` \| `(\w+)` \| `(\w+)` \| (\w+) \|", docs(root, "configuration.md"), re.MULTILINE
    )
    assert rows == [(option.flag, option.name, option.variable, option.kind) for option in OPTIONS.values()]


def test_every_key_of_an_inference_configuration_is_documented(root: Path) -> None:
    text = section(docs(root, "configuration.md"), "## inferenceconfig.json")
    keys = {
        *inference._KEYS,
        *inference._ENVIRONMENT_KEYS,
        *python_section.PYTHON_KEYS,
        *docker_section.DOCKER_KEYS,
        *docker_section._LOGIN_KEYS,
    }
    assert not [key for key in sorted(keys) if not re.search(rf"[.`]{key}\b", text)]


def test_examples_of_files_in_documents_are_valid(documents: dict[Path, str], tmp_path: Path) -> None:
    kinds = []
    for name, text in documents.items():
        for kind, block in BLOCK.findall(text):
            if kind == "json":
                json.loads(block)
            elif kind == "toml" and name.name == "configuration.md":
                (tmp_path / "fnpack.toml").write_text(block, "utf-8")
                assert read_project(tmp_path).values
            kinds.append(kind)
    assert {"json", "toml"} <= set(kinds)
