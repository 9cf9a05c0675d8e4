"""What README and docs/dev.md say of `fnpack dev`, typed as it stands there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
SCRIPT = """\
import json


def init():
    pass


def run(data):
    return [sum(row) for row in json.loads(data)["data"]]
"""


def blocks(document: str, heading: str) -> list[tuple[str, str]]:
    """The code blocks of a section: language and text."""
    text = (ROOT / document).read_text("utf-8")
    found = re.search(rf"^{re.escape(heading)}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, f"{document} has no section `{heading}`"
    return BLOCK.findall(found[1])


MINUTE = blocks("docs/dev.md", "## All three triggers in a minute")
README = blocks("README.md", "## All three triggers in a minute, without an Azure account")
LOOK = blocks("docs/dev.md", "## Look and act")


@pytest.fixture(scope="module")
def home(tmp_path_factory, home_of):
    made = home_of(tmp_path_factory.mktemp("documents"))
    (made.folder / "score.py").write_text(SCRIPT)
    (made.folder / "sample_input.json").write_text('{"data": [[1, 2], [3, 4]]}')
    (made.folder / "sklearn_regression_model.pkl").write_bytes(b"weights")
    (made.folder / "fnpack.toml").write_text(next(text for kind, text in MINUTE if kind == "toml"))
    return made


@pytest.fixture(scope="module")
def dev(home, develop) -> Iterator[object]:
    with develop(home) as running:
        yield running


def typed(home, commands: str) -> str:
    """What commands print on stdout in a shell; each has to succeed."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{home.environment()['PATH']}"
    done = subprocess.run(
        ["bash", "-ec", commands],
        cwd=home.folder,
        env={**home.environment(), "PATH": path},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, f"{commands}\n{done.stderr}"
    return done.stdout


def test_both_documents_tell_the_same() -> None:
    for kind, text in README:
        if kind in ("toml", "sh"):
            assert (kind, text) in MINUTE


def test_output_that_is_shown_is_what_is_said(dev) -> None:
    shown = next(text for kind, text in MINUTE if text.startswith("storage      Azurite"))
    said = re.sub(r"\d+", "0", dev.log)
    for line in shown.splitlines():
        wanted = re.sub(r"\d+", "0", line.partition("AccountKey=")[0].removesuffix("...")).strip()
        assert wanted in said, line


def test_commands_do_what_they_are_said_to_do(home, dev) -> None:
    answers = [typed(home, text) for kind, text in MINUTE if kind == "sh" and text != "fnpack dev\n"]
    assert answers[0].split("\n") == ["[3, 7]"] * 3 + [""]
    sent, dead, again = answers[1].splitlines()
    assert len(sent) == 36
    assert dead == again == '{"rows": "none"}'
    # the message that was awaited by `fnpack invoke` is still there, as the document says
    typed(home, "fnpack receive queue:predictions")
    (command,) = [text for kind, text in LOOK if kind == "sh"]
    typed(home, command)
    assert (home.folder / "prediction.json").read_text() == "[3, 7]\n"
