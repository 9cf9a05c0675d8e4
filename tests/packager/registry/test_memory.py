from __future__ import annotations

import json
import stat
import threading
import time
from pathlib import Path

import pytest

from fnpack.registry.memory import Memory, PushedBlobs


def test_blobs_are_known_for_a_day_and_forgotten_at_once(tmp_path: Path) -> None:
    memory = Memory(tmp_path)
    pushed = PushedBlobs(memory, "registry.test/team/app")
    pushed.remember(["sha256:1", "sha256:2"])
    assert pushed.known() == {"sha256:1", "sha256:2"}
    assert PushedBlobs(memory, "registry.test/team/other").known() == frozenset()
    (file,) = (tmp_path / "pushed").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    kept = json.loads(file.read_text())
    file.write_text(json.dumps({**kept, "sha256:1": time.time() - 25 * 3600, "sha256:3": "x"}))
    assert pushed.known() == {"sha256:2"}
    pushed.remember(["sha256:4"])
    assert pushed.known() == {"sha256:2", "sha256:4"}
    pushed.forget()
    assert pushed.known() == frozenset()


@pytest.mark.parametrize("content", ["", "{", "[]", "\0"])
def test_a_broken_file_is_no_memory(tmp_path: Path, content: str) -> None:
    (tmp_path / "x.json").write_text(content)
    assert Memory(tmp_path).read("x.json") == {}


def test_a_folder_that_cannot_be_written_and_none_at_all_keep_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for memory in (Memory(tmp_path / "file" / "folder"), Memory(None)):
        memory.write("a/x.json", {"a": 1})
        assert memory.read("a/x.json") == {}
        memory.remove("a/x.json")


def test_writers_at_the_same_time_leave_one_whole_file(tmp_path: Path) -> None:
    memory = Memory(tmp_path)

    def write(number: int) -> None:
        for _ in range(20):
            memory.write("x.json", {"writer": number, "fill": "x" * 10_000})

    threads = [threading.Thread(target=write, args=[number]) for number in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        found = memory.read("x.json")
        assert found == {} or len(str(found["fill"])) == 10_000
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]
