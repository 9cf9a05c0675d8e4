"""Threads beside the work: results, errors, and that nothing waits for ever."""

from __future__ import annotations

import threading

import pytest

from fnpack.parallel import beside, in_parallel


def test_beside_gives_the_result_as_often_as_it_is_asked_for() -> None:
    begun, may_end = threading.Event(), threading.Event()

    def work() -> int:
        begun.set()
        assert may_end.wait(10)
        return 7

    wait = beside(work)
    assert begun.wait(10), "it runs before anybody waits"
    may_end.set()
    assert (wait(), wait()) == (7, 7)


def test_beside_raises_what_went_wrong() -> None:
    def work() -> None:
        raise ValueError("no")

    wait = beside(work)
    for _ in range(2):
        with pytest.raises(ValueError, match="no"):
            wait()


@pytest.mark.parametrize("workers", [1, 3])
def test_first_error_stops_the_others(workers: int) -> None:
    done: list[int] = []

    def work(item: int, stopped: threading.Event) -> None:
        if item == 1:
            raise ValueError("one")
        assert workers == 1 or stopped.wait(10)
        done.append(item)

    with pytest.raises(ValueError, match="one"):
        in_parallel(work, [1, 2, 3] if workers == 1 else [0, 1, 2, 3, 4, 5], workers)
    assert len(done) < workers
