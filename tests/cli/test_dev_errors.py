"""`fnpack dev` and `fnpack doctor` on a machine that lacks something."""

from __future__ import annotations

import json
import os
import signal
import socket
from pathlib import Path

import pytest

from fnpack.cli.exit_codes import ExitCode


@pytest.fixture
def no_node(tmp_path: Path) -> dict[str, str]:
    """A PATH without Node and npm."""
    folder = tmp_path / "bin"
    folder.mkdir()
    return {"PATH": str(folder)}


def test_folder_with_nothing_to_run_is_told_and_left_as_it_was(fnpack) -> None:
    (fnpack.folder / "score.py").unlink()
    before = fnpack.snapshot()
    ended = fnpack("dev")
    assert (ended.code, ended.stdout) == (ExitCode.FAILED, "")
    assert f"Error FN520: {fnpack.folder} is neither a function app nor a project" in ended.stderr
    missing = fnpack("dev", "--services-only", "--config", "Confg.json", "--json")
    assert missing.error["code"] == "FN301"
    assert fnpack.snapshot() == before


def test_port_that_was_asked_for_and_is_taken_is_told(fnpack) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = fnpack("dev", "--port", port)
    assert ended.code == ExitCode.FAILED
    assert f"Error FN520: the port {port} is not free" in ended.stderr
    assert "--port (0 takes any free one)" in ended.stderr


def test_storage_without_node_is_told_with_what_to_do(fnpack, no_node) -> None:
    ended = fnpack("dev", settings={**no_node, "FNPACK_TRIGGER": "blob"})
    assert (ended.code, ended.stdout) == (ExitCode.MISSING_TOOL, "")
    assert "Error FN521: Azurite, the local storage account, needs Node.js" in ended.stderr
    assert "pip install 'fnpack[node]'" in ended.stderr
    assert "stopped" not in ended.stderr


def test_app_without_storage_needs_no_node(fnpack, no_node, wait_until) -> None:
    settings = {**no_node, "FNPACK_TRIGGER": "http"}
    process = fnpack.start("dev", "--port", "0", "--no-reload", "--json", settings=settings)
    assert process.stdout is not None
    facts = json.loads(process.stdout.readline())
    assert [one["name"] for one in facts["functions"]] == ["score"]
    assert facts["settings"] == {}
    port = int(facts["url"].rpartition(":")[2])

    def answers() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    wait_until(answers, timeout_s=30)
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=40)
    assert process.returncode == 0, stderr
    assert not (fnpack.folder / ".fnpack" / "dev" / "azurite").exists()


def test_host_that_cannot_start_ends_the_command_where_nothing_is_watched(fnpack) -> None:
    (fnpack.folder / "score.py").write_text(
        "def init():\n    raise OSError('no weights')\ndef run(data): pass\n"
    )
    ended = fnpack("dev", "--port", "0", "--no-reload")
    assert ended.code == ExitCode.HOST_NOT_STARTED
    assert "OSError: no weights" in ended.stderr


def test_doctor_names_what_is_missing_and_how_to_mend_it(fnpack, no_node) -> None:
    ended = fnpack("doctor", settings=no_node)
    assert ended.code == ExitCode.MISSING_TOOL
    lines = ended.stdout.splitlines()
    node = next(number for number, line in enumerate(lines) if line.startswith("missing  Node.js"))
    assert "-> install Node.js 18 or newer" in lines[node + 1]
    assert any(line.startswith("missing  Docker Engine") for line in lines)
    as_json = fnpack("doctor", "--json", settings=no_node)
    facts = json.loads(as_json.stdout)
    assert (as_json.code, facts["schema_version"]) == (ExitCode.MISSING_TOOL, 1)
    assert {one["name"]: one["state"] for one in facts["checks"]}["Python"] == "ok"
    assert all(one["fix"] for one in facts["checks"] if one["state"] == "missing")


def test_doctor_leaves_the_machine_as_it_was(fnpack) -> None:
    before, home = fnpack.snapshot(), os.listdir(fnpack.home)  # noqa: PTH208 - names are enough
    assert fnpack("doctor").code in (ExitCode.OK, ExitCode.MISSING_TOOL)
    assert fnpack.snapshot() == before
    assert os.listdir(fnpack.home) == home  # noqa: PTH208
