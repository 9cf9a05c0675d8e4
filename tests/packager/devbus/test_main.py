"""`python -m fnpack.devbus`: one line when it is ready, an error that says what to do, and it stops when told to."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from fnpack.devbus.__main__ import main

COMMAND = [sys.executable, "-m", "fnpack.devbus"]


def test_it_prints_the_connection_string_and_stops_at_a_signal(tmp_path: Path) -> None:
    arguments = ["--queue", "q", "--queue", "ordered,session", "--subscription", "t/s,session"]
    process = subprocess.Popen(
        [*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    process.terminate()
    rest, notice = process.communicate(timeout=10)
    assert re.fullmatch(r"Endpoint=sb://127\.0\.0\.1:\d+;.*;UseDevelopmentEmulator=true;\n", line)
    assert (process.returncode, rest) == (0, "")
    assert "development service" in notice


def test_a_wrong_configuration_is_told_and_nothing_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "Config.json"
    path.write_text('{"UserConfig": {"Namespaces": []}}')
    assert main(["--config", str(path)]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "error: " in err
    assert "the emulator has exactly one" in err


def test_a_taken_port_is_told(bus, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--port", str(bus.port)]) == 3
    assert f"cannot listen on port {bus.port}" in capsys.readouterr().err


def test_a_wrong_flag_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--queue", "q,sessions"]) == 1
    assert "hint: write `NAME` or `NAME,session`" in capsys.readouterr().err


def test_a_name_that_cannot_be_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--queue", "a b"]) == 1
    assert "`a b` cannot name an entity" in capsys.readouterr().err
