"""The state's folder: one holder, facts for others, and nothing believed that is stale or another user's."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fnpack.dev.errors import DevError
from fnpack.dev.state import Running, StateFolder, find_app, find_running

FACTS = Running(7, "storage", "bus", "http://control", {"A": "b"}, "/source", "/app", "http://localhost:1")


def test_facts_are_there_while_the_folder_is_held_and_for_this_user_alone(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path / "state")
    assert folder.running() is None
    assert folder.hold()
    assert folder.running() is None  # it is still starting
    folder.tell(FACTS)
    assert StateFolder(tmp_path / "state").running() == FACTS
    assert (tmp_path / "state" / "running.json").stat().st_mode & 0o077 == 0
    assert not StateFolder(tmp_path / "state").hold()
    folder.release()
    assert folder.running() is None


def test_facts_of_one_that_was_killed_are_not_believed(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path)
    assert folder.hold()
    folder.tell(FACTS)
    text = (tmp_path / "running.json").read_text()
    folder.release()
    (tmp_path / "running.json").write_text(text)
    assert find_running(tmp_path) is None


def test_facts_in_a_folder_of_another_user_are_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = StateFolder(tmp_path)
    assert folder.hold()
    folder.tell(FACTS)
    monkeypatch.setattr(os, "getuid", lambda: tmp_path.stat().st_uid + 1)
    assert StateFolder(tmp_path).running() is None
    folder.release()


def test_app_is_found_that_uses_the_services_of_another(tmp_path: Path) -> None:
    services = StateFolder(tmp_path / "state")
    assert services.hold()
    services.tell(Running(1, "storage", "bus"))
    app = services.of_app(tmp_path / "project")
    assert app.hold()
    app.tell(Running(2, source=str(tmp_path / "project"), app="/app"))
    assert find_app(tmp_path / "other", tmp_path / "state") is None
    found = find_app(tmp_path / "project", tmp_path / "state")
    assert found is not None
    assert (found.pid, found.is_services_only) == (2, False)
    app.release()
    services.release()


def test_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DevError) as caught:
        StateFolder(tmp_path / "file").hold()
    assert "--no-state" in str(caught.value.hint)
