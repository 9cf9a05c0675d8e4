"""How commands end that are broken off, or broken: exit codes, cleanup, no stack trace unless asked for."""

from __future__ import annotations

import http.server
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from fnpack.cli.exit_codes import ExitCode

BREAK = """
import sys
import fnpack.config.build
def broken(raw, finder):
    raise ZeroDivisionError("of all things")
fnpack.config.build.complete = broken
from fnpack.cli import run
sys.exit(run(sys.argv[1:]))
"""


@pytest.fixture
def silent_index() -> Iterator[tuple[str, threading.Event]]:
    """The address of a package index that never answers, and an event that is set once it has been asked."""
    asked, over = threading.Event(), threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.set()
            over.wait(60)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/simple", asked
        over.set()
        server.shutdown()


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("option", ["--app-only", "--dockerfile-only"])
def test_interrupted_build_exits_130_and_leaves_nothing(fnpack, silent_index, signal_number, option) -> None:
    address, asked = silent_index
    (fnpack.folder / "requirements.txt").write_text("iniconfig\n")
    before, beside = fnpack.snapshot(), set(fnpack.folder.parent.iterdir())
    settings = {
        "PIP_INDEX_URL": address,
        "UV_CACHE_DIR": str(fnpack.home / "uv"),
        "PIP_CONFIG_FILE": "/dev/null",
    }
    build = fnpack.start("build", option, "target", settings=settings)
    assert asked.wait(30)
    build.send_signal(signal_number)
    stdout, stderr = build.communicate(timeout=30)
    assert (build.returncode, stdout) == (ExitCode.INTERRUPTED, "")
    assert "Error FN003: interrupted" in stderr
    assert "Traceback" not in stderr
    assert fnpack.snapshot() == before
    assert set(fnpack.folder.parent.iterdir()) == beside


def test_interrupted_build_says_so_in_json_too(fnpack, silent_index) -> None:
    address, asked = silent_index
    (fnpack.folder / "requirements.txt").write_text("iniconfig\n")
    build = fnpack.start(
        "build",
        "--app-only",
        "app",
        "--json",
        settings={"PIP_INDEX_URL": address, "PIP_CONFIG_FILE": "/dev/null"},
    )
    assert asked.wait(30)
    build.send_signal(signal.SIGINT)
    stdout, _ = build.communicate(timeout=30)
    assert (build.returncode, json.loads(stdout)["error"]["code"]) == (130, "FN003")


@pytest.mark.parametrize("debug", [False, True])
def test_bug_says_that_it_is_one_and_shows_its_trace_only_on_request(fnpack, debug) -> None:
    def build(*more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", BREAK, "build", "--app-only", "app", *more],
            cwd=fnpack.folder, env=fnpack.environment(), capture_output=True, text=True, check=False, timeout=30,
        )  # fmt: skip

    done = build(*(["--debug"] if debug else []))
    assert (done.returncode, done.stdout) == (ExitCode.BUG, "")
    assert (
        "Error FN070: this is a bug in fnpack, not in what you did: ZeroDivisionError: of all things"
        in done.stderr
    )
    assert "report what it prints" in done.stderr
    assert ("Traceback" in done.stderr) is debug
    as_json = build("--json")
    assert as_json.returncode == ExitCode.BUG
    assert json.loads(as_json.stdout)["error"]["code"] == "FN070"


@pytest.mark.parametrize(
    ("module", "extra", "command"),
    [
        ("packaging", "build", ["build", "--app-only", "app"]),
        ("uv", "build", ["build", "--app-only", "app"]),
        ("docker", "build", ["build", "--builder", "dockerfile"]),
        ("azure", "blob", ["invoke", "app", "--data", "1"]),
        ("uvicorn", "host", ["run", "app", "--port", "0"]),
    ],
)
def test_missing_package_is_named_with_the_extra_that_brings_it(
    fnpack, build_app, module, extra, command
) -> None:
    build_app("--trigger", "blob" if module == "azure" else "http")
    (fnpack.folder / "requirements.txt").write_text("iniconfig\n")
    hide = (
        f"import sys; sys.modules[{module!r}] = None; from fnpack.cli import run; sys.exit(run(sys.argv[1:]))"
    )
    settings = {
        "TriggerConnectionString": "UseDevelopmentStorage=true",
        "FUNCTIONS_SECRETS_PATH": str(fnpack.home),
    }
    done = subprocess.run(
        [sys.executable, "-c", hide, *command],
        cwd=fnpack.folder, env=fnpack.environment(settings), capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (ExitCode.MISSING_TOOL, ""), done.stderr
    assert f"fnpack[{extra}]" in done.stderr
    assert "Traceback" not in done.stderr


def test_debug_shows_the_trace_of_an_expected_error(fnpack) -> None:
    ended = fnpack("build", "--model", "nowhere", "--debug")
    assert ended.code == ExitCode.FAILED
    assert ended.stderr.startswith("Traceback")
    assert "Error FN300: --model: there is no model `nowhere`" in ended.stderr


def test_failed_build_leaves_an_earlier_app_as_it_was(fnpack, build_app) -> None:
    build_app()
    (fnpack.folder / "score.py").write_text("def init(: pass\n")
    before = fnpack.snapshot()
    assert fnpack("build", "--app-only", "app").code == ExitCode.FAILED
    assert fnpack.snapshot() == before


@pytest.mark.parametrize(
    ("given", "out", "note"),
    [
        ("input/.json", "output/{sys.randguid}.json", "stands for this one blob only"),
        (
            "input/{blobname}.json",
            "output/_out.json",
            "every result overwrites the one blob `output/_out.json`",
        ),
    ],
)
def test_blob_path_without_an_expression_is_doubted(fnpack, given, out, note) -> None:
    ended = fnpack(
        "build", "--trigger", "blob", "--input-path", given, "--output-path", out, "--app-only", "app"
    )
    assert ended.code == 0
    assert note in ended.stderr
    assert "in single quotes" in ended.stderr


def test_module_of_the_project_does_not_replace_one_of_pythons(fnpack) -> None:
    (fnpack.folder / "json.py").write_text("raise SystemExit('the project json.py was imported')\n")
    ended = fnpack("build", "--app-only", "app", "--json")
    assert ended.code == 0
    assert json.loads(ended.stdout)["entry_script"] == "score.py"


def test_scoring_json_is_as_documented(fnpack, build_app) -> None:
    document = (Path(__file__).parents[2] / "docs" / "app-directory.md").read_text("utf-8")
    example = document.partition("```json\n")[2].partition("```")[0]
    (fnpack.folder / "sklearn_regression_model.pkl").touch()
    app = build_app("--model", "sklearn_regression_model.pkl")
    assert json.loads((app / "scoring.json").read_text("utf-8")) == json.loads(example)
