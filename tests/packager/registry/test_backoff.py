from __future__ import annotations

import threading
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime

import pytest

from fnpack.registry.backoff import Backoff, Cancelled, asked_pause_s
from fnpack.registry.errors import RegistryError, TransferBroken
from fnpack.registry.settings import RegistrySettings

SETTINGS = RegistrySettings(attempts=3, first_pause_s=0.001, longest_pause_s=0.002)


def test_retry_after_is_a_number_or_a_date() -> None:
    assert asked_pause_s("7") == 7
    assert asked_pause_s(None) is None
    assert asked_pause_s("soon") is None
    later = datetime.now(timezone.utc) + timedelta(seconds=90)
    assert 80 < (asked_pause_s(format_datetime(later, usegmt=True)) or 0) <= 90
    assert asked_pause_s("Thu, 01 Jan 2015 00:00:00 GMT") == 0


def test_failures_are_bounded_and_progress_counts_anew() -> None:
    backoff, error = Backoff(SETTINGS), TransferBroken("x")
    backoff.pause(error)
    backoff.pause(error)
    backoff.progressed()
    backoff.pause(error)
    backoff.pause(error)
    with pytest.raises(TransferBroken):
        backoff.pause(error)
    assert not error.may_pass  # so nobody further out goes on


def test_what_is_final_and_what_asks_for_too_long_is_not_tried_again() -> None:
    with pytest.raises(RegistryError):
        Backoff(SETTINGS).pause(RegistryError("x"))
    slow = TransferBroken("x")
    slow.asked_s = 3600
    with pytest.raises(TransferBroken):
        Backoff(SETTINGS).pause(slow)


def test_a_pause_ends_when_the_work_is_given_up() -> None:
    given_up = threading.Event()
    given_up.set()
    slow = TransferBroken("x")
    slow.asked_s = 100
    with pytest.raises(Cancelled):
        Backoff(SETTINGS, given_up).pause(slow)
