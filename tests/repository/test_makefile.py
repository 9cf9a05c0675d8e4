"""The Makefile is the one way to work on the project: its targets are there and say what they do."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

EXPECTED = ["help", "setup", "demo", "format", "check", "test", "test-services", "bench", "docs", "dist"]


@pytest.fixture(scope="module")
def targets(root: Path) -> list[str]:
    phony = re.search(r"^\.PHONY: (.*)$", (root / "Makefile").read_text(), re.MULTILINE)
    assert phony
    return phony[1].split()


def test_expected_targets_are_there(targets: list[str]) -> None:
    assert set(EXPECTED) <= set(targets)


def make(root: Path, *arguments: str) -> str:
    """What make prints; as if typed by a person, also where the tests were themselves started by make."""
    inherited = {"MAKEFLAGS", "MAKELEVEL", "MFLAGS", "MAKEOVERRIDES"}
    env = {name: value for name, value in os.environ.items() if name not in inherited}
    return subprocess.run(
        ["make", *arguments], cwd=root, check=True, text=True, capture_output=True, env=env
    ).stdout


def test_make_help_explains_every_target(root: Path, targets: list[str]) -> None:
    printed = make(root, "help")
    explained = dict(line.split(maxsplit=1) for line in printed.splitlines())
    assert set(explained) == set(targets)
    assert all(len(text) >= 10 for text in explained.values())


def test_make_alone_shows_the_help(root: Path) -> None:
    assert "Show this list" in make(root)


def test_every_target_but_help_sets_up_first(root: Path, targets: list[str]) -> None:
    rules = dict(re.findall(r"^([a-z-]+):(.*?)##", (root / "Makefile").read_text(), re.MULTILINE))
    needs = {name: rules[name].split() for name in targets}
    without = {name for name in targets if not needs[name]} - {"help", "setup"}
    assert not without
    assert all(needed in ("setup", "check") for names in needs.values() for needed in names)
