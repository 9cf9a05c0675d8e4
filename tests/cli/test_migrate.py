"""`fnpack migrate` as it is typed: dry runs, backups, git, --json, and files that cannot be written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

OLD = "from azureml.core import Workspace, Run\nws = Workspace.from_config()\n"
NEW = "from fnpack.core import Workspace\nfrom azureml.core import Run\nws = Workspace.from_config()\n"


@pytest.fixture
def old(fnpack) -> Path:
    path = fnpack.folder / "deploy.py"
    path.write_text(OLD)
    path.chmod(0o750)
    return path


def test_files_are_rewritten_and_the_old_ones_kept(fnpack, old: Path) -> None:
    ended = fnpack("migrate", ".")
    assert (ended.code, ended.stdout) == (0, "deploy.py\n")
    assert "deploy.py:2: azureml.core.Run: track runs with MLflow" in ended.stderr
    assert "1 file rewritten, the old ones kept as .orig; 1 place for you to decide" in ended.stderr
    assert old.read_text() == NEW
    assert old.stat().st_mode & 0o777 == 0o750
    assert (fnpack.folder / "deploy.py.orig").read_text() == OLD
    again = fnpack("migrate", ".")
    assert (again.code, again.stdout) == (0, "")
    assert (fnpack.folder / "deploy.py.orig").read_text() == OLD


def test_in_git_no_copy_is_kept_unless_asked_for(fnpack, old: Path) -> None:
    (fnpack.folder / ".git").mkdir()
    assert fnpack("migrate", "deploy.py").code == 0
    assert not (fnpack.folder / "deploy.py.orig").exists()
    old.write_text(OLD)
    assert fnpack("migrate", "deploy.py", "--backup").code == 0
    assert (fnpack.folder / "deploy.py.orig").exists()


def test_dry_runs_write_nothing(fnpack, old: Path) -> None:
    before = fnpack.snapshot()
    checked = fnpack("migrate", ".", "--check")
    assert (checked.code, checked.stdout) == (1, "deploy.py\n")
    shown = fnpack("migrate", ".", "--diff")
    assert shown.code == 0
    assert shown.stdout.splitlines()[:2] == ["--- a/deploy.py", "+++ b/deploy.py"]
    assert "-from azureml.core import Workspace, Run\n+from fnpack.core import Workspace\n" in shown.stdout
    facts = json.loads(fnpack("migrate", ".", "--check", "--json").stdout)
    assert facts["written"] is False
    (file,) = facts["files"]
    assert (file["path"], file["rewritten"], file["problem"]) == ("deploy.py", True, None)
    assert file["to_decide"][0] | {"instead": ""} == {
        "line": 1, "cell": None, "name": "azureml.core.Run", "instead": "",
    }  # fmt: skip
    assert fnpack.snapshot() == before
    old.write_text("x = 1\n")
    assert fnpack("migrate", ".", "--check").code == 0


def test_entry_script_is_told_to_need_nothing(fnpack) -> None:
    script = "from azureml.core.model import Model\n\n\ndef init():\n    pass\n\n\ndef run(data):\n    pass\n"
    (fnpack.folder / "score.py").write_text(script)
    ended = fnpack("migrate", ".")
    assert "score.py: an entry script; it needs no change" in ended.stderr
    assert (fnpack.folder / "score.py").read_text() == script


def test_file_that_cannot_be_written_stays_as_it_was(fnpack, old: Path) -> None:
    (fnpack.folder / "deploy.py.orig").mkdir()  # where the copy would go
    ended = fnpack("migrate", ".")
    assert ended.code == 1
    assert "Error FN525: deploy.py cannot be written" in ended.stderr
    assert old.read_text() == OLD
    assert {path.name for path in fnpack.folder.iterdir()} == {
        "deploy.py", "deploy.py.orig", "model.pkl", "score.py",
    }  # fmt: skip


def test_link_is_followed_to_where_the_file_is(fnpack, old: Path) -> None:
    elsewhere = fnpack.folder.parent / "elsewhere.py"
    old.rename(elsewhere)
    old.symlink_to(elsewhere)
    assert fnpack("migrate", "deploy.py", "--no-backup").code == 0
    assert old.is_symlink()
    assert elsewhere.read_text() == NEW
