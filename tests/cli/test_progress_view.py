"""How progress looks: what a terminal shows in the end, plain lines, JSON that adds up."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import select
import subprocess
import sys
import time
import uuid
from collections import Counter

import pytest
from plain_base import write_base

from fnpack.cli.exit_codes import ExitCode
from fnpack.cli.progress_view import JsonView, LiveView, PlainView
from fnpack.progress import ProgressEvent, Tally, in_phase

KEYS = {
    "step": {"phase", "step", "status", "detail", "current_bytes", "total_bytes", "seconds"},
    "phase": {"phase", "seconds"},
    "text": {"text"},
    "error": {"code", "message", "hint"},
    "summary": {
        "image", "pushed", "base_image", "platform", "python_version", "check", "seconds", "phases", "sent_bytes",
    },
}  # fmt: skip
COMMON = {"schema_version", "event", "time"}


def unpainted(text: str, style: str) -> str:
    return text


def shown(written: str) -> list[str]:
    """What a terminal has on its screen after `written`; the codes that fnpack uses, and colours."""
    lines, row = [""], 0
    for part in re.findall(r"\x1b\[\d*[A-Za-z]|\r|\n|[^\x1b\r\n]+", written):
        if up := re.fullmatch(r"\x1b\[(\d+)A", part):
            row -= int(up[1])
            assert row >= 0, "above the first line"
        elif part == "\x1b[J":
            lines[row:] = [""]
        elif part == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif part == "\r":
            assert lines[row] == "" or lines[row].startswith("  ")
        elif not part.startswith("\x1b"):
            lines[row] += part
    return [line.rstrip() for line in lines if line.strip()]


def test_terminal_keeps_what_runs_at_the_bottom_and_what_ended_above() -> None:
    out = io.StringIO()
    view = LiveView(out, unpainted)
    view.show(ProgressEvent("push app:1", "started"))
    view.show(ProgressEvent("push numpy", "started", total_bytes=16_000_000))
    view.show(ProgressEvent("push base", "started", total_bytes=30_000_000))
    view.show(ProgressEvent("push base", "cached", "mounted", 30_000_000, 30_000_000, 0.1))
    view.show(ProgressEvent("push numpy", "running", "", 8_000_000, 16_000_000))
    view.show(ProgressEvent("layer known", "cached", total_bytes=1, phase="layers"))
    lines = shown(out.getvalue())
    assert lines[0] == "= push base (30.0 MB mounted)"
    assert lines[1] == "  push app:1"
    assert lines[2] == "  push numpy 8.0 of 16.0 MB"
    view.show(ProgressEvent("push numpy", "done", "pushed", 16_000_000, 16_000_000, 0.8))
    view.show(ProgressEvent("push app:1", "done", duration_s=0.9))
    view.clear()
    assert shown(out.getvalue()) == [
        "= push base (30.0 MB mounted)",
        "+ push numpy (16.0 MB pushed, 0.8 s, 20.0 MB/s)",
        "+ push app:1 (0.9 s)",
    ]


def test_speed_is_that_of_the_bytes_since_the_start(monkeypatch) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    out = io.StringIO()
    view = LiveView(out, unpainted)
    view.show(ProgressEvent("push model", "started", total_bytes=100_000_000))
    now[0] += 2
    view.show(ProgressEvent("push model", "running", "", 50_000_000, 100_000_000))
    assert shown(out.getvalue()) == ["  push model 50.0 of 100.0 MB, 25.0 MB/s"]


def test_lines_never_wrap(monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    out = io.StringIO()
    view = LiveView(out, unpainted)
    view.show(ProgressEvent(f"push {'x' * 200}", "running", "", 1_000_000, 2_000_000))
    (line,) = shown(out.getvalue())
    assert len(line) < 40
    assert line.endswith("1.0 of 2.0 MB")


def test_plain_output_is_one_line_for_each_step_that_ended() -> None:
    out = io.StringIO()
    view = PlainView(out, unpainted)
    for status in ("started", "running", "running", "done"):
        view.show(ProgressEvent("layer numpy", status, "made" if status == "done" else "", 5, 5, 0.5))
    view.show(ProgressEvent("layer scipy", "cached", total_bytes=9, phase="layers"))
    view.show(ProgressEvent("check", "skipped", "no Python 3.12"))
    view.show(ProgressEvent("push app", "failed", duration_s=1.0))
    view.show(ProgressEvent("[internal] load", "done"))
    assert out.getvalue().splitlines() == [
        "+ layer numpy (0.0 kB made, 0.5 s)",
        "- check: not done: no Python 3.12",
        "x push app (1.0 s)",
    ]


def test_json_has_all_keys_always() -> None:
    out = io.StringIO()
    view = JsonView(out)
    with in_phase(view.show, "push") as progress:
        progress(ProgressEvent("push a", "started"))
    step, phase = map(json.loads, out.getvalue().splitlines())
    assert set(step) == COMMON | KEYS["step"]
    assert (step["phase"], step["total_bytes"]) == ("push", None)
    assert set(phase) == COMMON | KEYS["phase"]


def test_tally_adds_phases_and_what_was_sent() -> None:
    tally = Tally()
    for _ in range(2):
        with in_phase(tally, "resolve"):
            pass
    with in_phase(tally, "push") as progress:
        progress(ProgressEvent("push a", "done", "pushed", 5, 5))
        progress(ProgressEvent("push b", "cached", "mounted", 7, 7))
        progress(ProgressEvent("push app", "done", "sha256:0", 9, 9))
    assert list(tally.phases) == ["resolve", "push"]
    assert tally.sent_bytes == 5


@pytest.fixture
def command(fnpack, registry, tmp_path) -> list[str]:
    """A build of the project, pushed to a new repository."""
    tag = f"{registry}/progress-{uuid.uuid4().hex[:8]}:1"
    return ["build", "--base-image", write_base(tmp_path / "base"), "--tag", tag, "--push",
            "--model", "model.pkl", "--auth-level", "anonymous"]  # fmt: skip


def test_json_lines_of_a_push_add_up_to_its_summary(fnpack, command) -> None:
    (fnpack.folder / "model.pkl").write_bytes(os.urandom(300_000))
    ended = fnpack(*command, "--progress", "json", "--json")
    assert ended.code == ExitCode.OK, ended.stderr
    lines = [json.loads(line) for line in ended.stderr.splitlines()]
    for line in lines:
        assert set(line) == COMMON | KEYS[line["event"]]
    (summary,) = [line for line in lines if line["event"] == "summary"]
    steps = [line for line in lines if line["event"] == "step"]
    pushed = [line for line in steps if line["status"] == "done" and line["detail"] == "pushed"]
    assert sum(line["total_bytes"] for line in pushed) == summary["sent_bytes"] > 300_000
    phases = Counter[str]()
    for line in lines:
        if line["event"] == "phase":
            phases[line["phase"]] += line["seconds"]
    assert {name: pytest.approx(seconds, abs=0.01) for name, seconds in phases.items()} == summary["phases"]
    assert {"base", "resolve", "layers", "models", "check", "push"} <= set(phases)
    assert {line["status"] for line in steps} >= {"started", "done"}
    result = json.loads(ended.stdout)
    assert (result["phases"], result["sent_bytes"]) == (summary["phases"], summary["sent_bytes"])
    again = json.loads(fnpack(*command, "--json").stdout)
    assert again["sent_bytes"] == 0
    assert again["check"] == {"status": "remembered"}


def test_json_progress_tells_an_error_as_an_object(fnpack, command) -> None:
    (fnpack.folder / "score.py").write_text("def init():\n    raise ValueError('no')\ndef run(d): pass\n")
    ended = fnpack(*command, "--progress=json")
    assert (ended.code, ended.stdout) == (ExitCode.FAILED, "")
    lines = [json.loads(line) for line in ended.stderr.splitlines()]
    assert lines[-1]["event"] == "error"
    assert lines[-1]["code"] == "FN420"


def test_no_progress_leaves_result_and_summary(fnpack, command) -> None:
    ended = fnpack(*command, "--progress", "none")
    assert ended.code == ExitCode.OK
    assert not [line for line in ended.stderr.splitlines() if line[:2] in ("+ ", "= ", "x ", "- ")]
    assert re.search(
        r"^pushed in \d+\.\d s( \(.*\))?, \d+\.\d .B sent, on oci-layout:", ended.stderr, re.MULTILINE
    )


def test_real_terminal_ends_with_plain_lines(fnpack, command) -> None:
    parent, child = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "fnpack", *command],
        cwd=fnpack.folder, env=fnpack.environment({"TERM": "xterm"}), stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=child, text=True,
    )  # fmt: skip
    os.close(child)
    written = b""
    while select.select([parent], [], [], 60)[0]:
        try:
            piece = os.read(parent, 65536)
        except OSError:  # closed by the child's end
            break
        if not piece:
            break
        written += piece
    os.close(parent)
    stdout, _ = process.communicate(timeout=60)
    assert process.returncode == ExitCode.OK, written
    lines = shown(written.decode().replace("\r\n", "\n"))
    assert b"\x1b[J" in written
    assert "@sha256:" in stdout
    assert any(line.startswith("+ push config (") for line in lines)
    assert lines[-1].startswith("pushed in ")
    assert not [line for line in lines if line.startswith(("  push", "  layer", "  check"))]
