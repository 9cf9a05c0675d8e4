"""The child process: ended from another thread, and where programs run as they are."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import pytest
from plain_base import OTHER_ARCHITECTURE, OWN_ARCHITECTURE

from fnpack.app.directory import write_app
from fnpack.check.native import Cancelled, Child, child_environment
from fnpack.check.plan import is_this_machine
from fnpack.spec import AppSpec, Environment, HttpTrigger

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="checks run natively on Linux alone")


def facts(tmp_path: Path, script: str) -> dict[str, object]:
    (tmp_path / "score.py").write_text(script)
    spec = AppSpec(tmp_path / "score.py", None, (), (HttpTrigger(),), Environment())
    app = write_app(spec, tmp_path / "app", lock_text="")
    return {
        "app_root": str(app.path),
        "package_folders": [],
        "site_folders": [],
        "host_folders": [],
        "keeps_bytecode": True,
    }


def test_child_is_ended_from_another_thread(tmp_path: Path, wait_until) -> None:
    mark = tmp_path / "began"
    script = f"import time\ndef init():\n    open({str(mark)!r}, 'w')\n    time.sleep(60)\ndef run(d): pass\n"
    child, raised = Child(), []

    def run() -> None:
        try:
            child.run(sys.executable, facts(tmp_path, script), None, child_environment({}, tmp_path), 60)
        except Cancelled as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    wait_until(mark.exists, what="init() to begin")
    child.cancel()
    thread.join(10)
    assert raised
    with pytest.raises(Cancelled):
        child.run(sys.executable, facts(tmp_path, script), None, child_environment({}, tmp_path), 60)


def test_threads_and_processes_of_a_script_do_not_hold_a_check_up(tmp_path: Path) -> None:
    script = (
        "import subprocess, threading, time\n"
        "def init():\n    threading.Thread(target=time.sleep, args=(60,)).start()\n"
        "    subprocess.Popen(['sleep', '60'])\n    print('up')\n"
        "def run(d): pass\n"
    )
    ended = Child().run(sys.executable, facts(tmp_path, script), None, child_environment({}, tmp_path), 30)
    assert (ended.report.step, ended.exit_code) == ("done", 0)
    assert ended.output.strip() == "up"


def test_commands_and_path_files_of_packages_are_used_as_in_a_worker(tmp_path: Path) -> None:
    packages = tmp_path / "packages"
    (packages / "more").mkdir(parents=True)
    (packages / "more" / "extra.py").write_text("x = 1")
    (packages / "demo.pth").write_text("more\n")
    (packages / "bin").mkdir()
    (packages / "bin" / "tool").write_text("#!/bin/sh\necho found\n")
    (packages / "bin" / "tool").chmod(0o755)
    script = (
        "import subprocess, extra\ndef init():\n    subprocess.run(['tool'], check=True)\ndef run(d): pass\n"
    )
    given = {**facts(tmp_path, script), "package_folders": [str(packages), str(tmp_path / "absent")]}
    ended = Child().run(sys.executable, given, None, child_environment({}, tmp_path), 30)
    assert (ended.report.step, ended.output.strip()) == ("done", "found")


def test_variables_are_the_images_without_those_that_are_this_machines(tmp_path: Path) -> None:
    image = {"LANG": "de_DE", "A": "1", "PATH": "/x", "LD_PRELOAD": "y", "PYTHONHOME": "/z", "HOME": "/root"}
    found = child_environment(image, tmp_path, "/opt/bin")
    assert found["LANG"] == "de_DE"
    assert found["A"] == "1"
    assert found["PATH"].startswith("/opt/bin:/usr/local/sbin:")
    assert set(found) == {"LANG", "A", "HOME", "TMPDIR", "PATH"}


def test_platforms_are_compared_with_this_machine() -> None:
    assert is_this_machine(f"linux/{OWN_ARCHITECTURE}")
    assert not is_this_machine(f"linux/{OTHER_ARCHITECTURE}")
    assert not is_this_machine("windows/amd64")
