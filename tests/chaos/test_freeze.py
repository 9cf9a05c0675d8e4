"""Storage that stops answering for a while and takes up where it was: deliveries go on within seconds."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

FROZEN_S = 10.0
BOUND_S = 6.0  # well below what it was frozen


@pytest.mark.timeout(90)
def test_inputs_run_within_seconds_after_storage_was_frozen(
    crew_of, account_of, azurite_factory, tmp_path: Path, wait_until
) -> None:
    storage = azurite_factory(tmp_path / "storage")
    account = account_of(storage.connection_string)
    crew = crew_of({"AzureWebJobsStorage": storage.connection_string, "TALLY": str(tmp_path / "tally")})
    crew.start(1)
    with account.feeding(range(40)):
        wait_until(account.outputs, 20, what="a first output")
        freeze(storage._process.pid)
        thawed_at = time.monotonic()
    with account.feeding(range(40, 60)):
        wait_until(lambda: len(account.outputs()) == 120, 30, what="all outputs")
    assert time.monotonic() - thawed_at < BOUND_S
    wait_until(lambda: account.waiting() == 0 and not account.open_receipts(), 10, what="all settled")
    assert crew.stop() == [0]


def freeze(pid: int) -> None:
    """Stop a process for a while, in the middle of what it does."""
    os.kill(pid, signal.SIGSTOP)
    try:
        time.sleep(FROZEN_S)
    finally:
        os.kill(pid, signal.SIGCONT)
