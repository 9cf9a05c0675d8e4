"""The lock that tells whether a process lives: those who look never disturb, and a dead holder lets go."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from fnpack.sdk.liveness import hold, is_held


def test_many_may_look_at_once_and_see_the_same(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    assert not is_held(lock)
    os.close(hold(lock))
    seen: set[bool] = set()

    def look() -> None:
        seen.update(is_held(lock) for _ in range(2000))

    def look_together() -> set[bool]:
        seen.clear()
        threads = [threading.Thread(target=look) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return set(seen)

    assert look_together() == {False}
    held = hold(lock)
    assert look_together() == {True}
    os.close(held)


def test_taking_it_waits_for_those_who_look(tmp_path: Path) -> None:
    lock, stop = tmp_path / "lock", threading.Event()
    os.close(hold(lock))

    def look() -> None:
        while not stop.is_set():
            is_held(lock)

    looker = threading.Thread(target=look)
    looker.start()
    for _ in range(200):
        os.close(hold(lock))
    stop.set()
    looker.join()


def test_dead_holder_lets_go_and_a_living_one_does_not(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    code = (
        "import sys; from pathlib import Path; from fnpack.sdk.liveness import hold\n"
        "hold(Path(sys.argv[1])); print(1, flush=True); input()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with holder:
        assert holder.stdout
        assert holder.stdout.readline() == b"1\n"
        assert is_held(lock)
        with pytest.raises(BlockingIOError):
            hold(lock, wait_s=0.05)
        holder.kill()
    assert not is_held(lock)
