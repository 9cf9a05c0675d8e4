"""Three hosts on one storage account, killed at random with their workers and their storage: nothing is lost.

`FNPACK_CHAOS=full` runs 2,000 blobs and 2,000 messages, otherwise 300 of each; `FNPACK_CHAOS_SEED` repeats a run's
kills.
"""

from __future__ import annotations

import os
import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

SETTINGS = {"FNPACK_QUEUE_LOCK_SECONDS": "5", "FNPACK_BLOB_LEASE_SECONDS": "15"}


@dataclass(frozen=True)
class Size:
    """How many inputs of each kind there are, and what is killed how often."""

    inputs: int
    hosts: int
    workers: int
    storage: int = 2


SIZE = Size(2000, 9, 9) if os.environ.get("FNPACK_CHAOS") == "full" else Size(300, 3, 3)
SEED = int(os.environ.get("FNPACK_CHAOS_SEED") or random.SystemRandom().randrange(1000))


@pytest.mark.timeout(200)
def test_every_input_has_its_one_right_output_whatever_is_killed(
    crew_of, account_of, azurite_factory, tmp_path: Path, wait_until, capsys
) -> None:
    storage = azurite_factory(tmp_path / "storage")
    tally = tmp_path / "tally"
    tally.touch()
    account = account_of(storage.connection_string)
    crew = crew_of({**SETTINGS, "AzureWebJobsStorage": storage.connection_string, "TALLY": str(tally)})
    crew.start(3)
    started = time.monotonic()
    torment(crew, storage, account)
    right = expected(account)
    wait_until(lambda: len(account.outputs()) >= len(right), 60, 0.5, f"all outputs (seed {SEED})")
    wait_until(lambda: account.waiting() == 0, 30, 0.2, f"an empty queue (seed {SEED})")
    wait_until(lambda: not account.open_receipts(), 30, 0.5, f"finished receipts (seed {SEED})")
    took_s, runs = time.monotonic() - started, Counter(tally.read_text().splitlines())
    assert crew.stop() == [0, 0, 0]
    assert account.outputs() == right
    assert account.poison_queues() == []
    crew.start(1)
    assert what_a_late_host_runs(account, tally, wait_until) == {"blob 999999": 1, "message 999999": 1}
    assert crew.stop() == [0]
    assert not crew.left_over_workers()
    with capsys.disabled():
        print("\n" + summary(runs, crew, took_s), file=sys.stderr)  # pytest-xdist swallows stdout


def torment(crew, storage, account) -> None:
    """Write the inputs in portions, and kill something in the middle of each."""
    fate = random.Random(SEED)
    blows: list[Callable[[], object]] = [lambda: crew.kill_host(fate)] * SIZE.hosts
    blows += [lambda: crew.kill_worker(fate)] * SIZE.workers
    fate.shuffle(blows)
    for at in (len(blows) // 3, 2 * len(blows) // 3):
        blows.insert(at, storage.restart)
    portion = -(-SIZE.inputs // len(blows))
    for number, blow in enumerate(blows):
        numbers = range(number * portion, min((number + 1) * portion, SIZE.inputs))
        with account.feeding(numbers):
            time.sleep(fate.uniform(0.2, 1.0))  # a kill comes at no particular moment
            blow()


def expected(account) -> dict[str, bytes]:
    return {
        f"{kind}-{number}": account.right_output(kind, number)
        for kind in ("blob", "message")
        for number in range(SIZE.inputs)
    }


def what_a_late_host_runs(account, tally: Path, wait_until) -> dict[str, int]:
    """What a host runs that starts after all is done: inputs that sort last are found after all others were seen."""
    before = Counter(tally.read_text().splitlines())
    with account.feeding(range(999_999, 1_000_000)):
        pass
    wait_until(lambda: {"blob-999999", "message-999999"} <= account.outputs().keys(), 30, what="late inputs")
    return dict(Counter(tally.read_text().splitlines()) - before)


def summary(runs: Counter[str], crew, took_s: float) -> str:
    more = dict.fromkeys(("blob", "message"), 0)
    for line, count in runs.items():
        more[line.split()[0]] += count - 1
    return (
        f"chaos (seed {SEED}): {SIZE.inputs} blobs and {SIZE.inputs} messages on 3 hosts in {took_s:.0f} s; "
        f"{crew.killed['host']} hosts and {crew.killed['worker']} workers killed, "
        f"storage restarted {SIZE.storage} times; "
        f"{sum(runs.values())} runs, {more['blob']} of blobs and {more['message']} of messages more than once; "
        f"each output right, nothing left over"
    )
