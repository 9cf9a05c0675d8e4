"""The table of what is as on Azure: every proof that it names exists, and its numbers and keys are right."""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

from fnpack_host.app.host_json_keys import KEYS, Use

ROW = re.compile(r"^\| (.+) \| (same|different|not supported) \| (.+) \|$", re.MULTILINE)
PROOF = re.compile(r"`([\w/]+\.py)::(\w+)`")


@pytest.fixture(scope="module")
def text(root: Path) -> str:
    return (root / "docs" / "functions-compatibility.md").read_text("utf-8")


@pytest.fixture(scope="module")
def rows(text: str) -> list[tuple[str, str, str]]:
    return ROW.findall(text)


def names_in(path: Path) -> set[str]:
    """The test functions of a module."""
    nodes = ast.walk(ast.parse(path.read_text("utf-8")))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in nodes if isinstance(node, kinds) and node.name.startswith("test_")}


def test_every_test_that_the_table_names_exists(root: Path, text: str) -> None:
    named = set(PROOF.findall(text))
    assert len(named) > 100
    there = {file: names_in(root / "tests" / file) for file in {file for file, _ in named}}
    assert not [(file, test) for file, test in sorted(named) if test not in there[file]]
    assert text.count(".py::") == len(PROOF.findall(text))


def test_what_is_the_same_has_a_proof_and_what_is_not_has_a_reason(rows: list[tuple[str, str, str]]) -> None:
    assert not [what for what, here, why in rows if here == "same" and not PROOF.search(why)]
    reasons = {what: PROOF.sub("", why).strip(" ,:") for what, here, why in rows if here != "same"}
    assert not [what for what, reason in reasons.items() if len(reason) < 3]


def test_every_row_is_read_and_stands_once(text: str, rows: list[tuple[str, str, str]]) -> None:
    tables = text.partition("\n## Keys of host.json")[0]
    lines = [line for line in tables.splitlines() if line.startswith("| ") and "| here |" not in line]
    assert len(lines) == len(rows)
    assert not [what for what, count in Counter(what for what, _, _ in rows).items() if count > 1]


def test_the_totals_are_those_of_the_table(text: str, rows: list[tuple[str, str, str]]) -> None:
    count = Counter(here for _, here, _ in rows)
    total = re.search(r"^(\d+) same, (\d+) different on purpose, (\d+) not supported\.$", text, re.MULTILINE)
    assert total
    assert [int(number) for number in total.groups()] == [
        count[here] for here in ("same", "different", "not supported")
    ]


def test_every_key_of_host_json_is_described_as_it_is_checked(text: str) -> None:
    section = text.partition("\n## Keys of host.json\n")[2]
    found = re.findall(r"^\| `(.+?)` \| (.+?) \| (.+?) \| (.+?) \|$", section, re.MULTILINE)
    assert found == [
        (
            key.path,
            key.allowed,
            key.default or "-",
            key.meaning if key.use is Use.HONOURED else f"accepted; {key.meaning}",
        )
        for key in KEYS
    ]
