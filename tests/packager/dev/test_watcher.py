"""Changes are told from the first moment on, and only those that matter."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fnpack.dev.errors import DevError
from fnpack.dev.watcher import Watcher


@pytest.fixture
def watcher(tmp_path: Path) -> Iterator[Watcher]:
    for name in (".venv", "lib"):
        (tmp_path / name).mkdir()
    watching = Watcher([tmp_path], lambda path: path.suffix == ".py")
    watching.start()
    yield watching
    watching.stop()


def test_change_right_after_the_start_is_told_and_others_are_not(watcher: Watcher, tmp_path: Path) -> None:
    for name in (".venv/a.py", ".#score.py", "notes.txt"):
        (tmp_path / name).write_text("x")
    (tmp_path / "lib" / "score.py").write_text("x")
    (tmp_path / "other.py").write_text("x")
    found: set[str] = set()
    while found != {"score.py", "other.py"}:
        told = watcher.wait(10)
        assert told, found
        found |= set(told)
    assert watcher.wait(0.3) == []


def test_folder_that_is_hidden_itself_is_watched(tmp_path: Path) -> None:
    folder = tmp_path / ".hidden"
    folder.mkdir()
    watching = Watcher([folder], lambda path: True)
    watching.start()
    (folder / "a.py").touch()
    assert watching.wait(10) == ["a.py"]
    watching.stop()


def test_folder_that_is_not_there_is_told_to_who_waits(tmp_path: Path) -> None:
    watching = Watcher([tmp_path / "nowhere"], lambda path: True)
    watching.start()
    with pytest.raises(DevError, match="changes cannot be followed") as caught:
        watching.wait(1)
    assert "--no-reload" in str(caught.value.hint)
    watching.stop()
