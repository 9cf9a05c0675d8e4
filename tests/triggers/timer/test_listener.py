"""The timer trigger: when it runs, on which host, and what it remembers."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from dataclasses import dataclass
from datetime import datetime, timezone

import pytest
from azure.storage.blob.aio import BlobServiceClient

from fnpack_triggers.base import Event, InvocationFailed
from fnpack_triggers.blob.faults import StorageUnavailable
from fnpack_triggers.blob.memory import MemoryState
from fnpack_triggers.connections import StorageConnection
from fnpack_triggers.errors import ConnectionSettingError
from fnpack_triggers.timer import singleton
from fnpack_triggers.timer.clock import SystemClock
from fnpack_triggers.timer.listener import TimerOptions, TimerTrigger
from fnpack_triggers.timer.schedule import parse_schedule


async def test_a_function_runs_each_time_it_is_due(bench) -> None:
    await bench.start(bench.timer(), bench.deliver)
    await bench.settle()
    assert bench.runs == []
    await bench.clock.turn(seconds=30)
    await bench.until_runs(1)
    await bench.clock.turn(seconds=59)
    await bench.settle()
    await bench.clock.turn(seconds=1)
    await bench.until_runs(2)
    assert bench.times == ["12:01:00", "12:02:00"]


async def test_a_run_is_told_the_schedules_status_as_azure_tells_it(bench) -> None:
    await bench.start(bench.timer(), bench.deliver)
    for _ in range(2):
        await bench.clock.turn(seconds=60)
        await bench.until_runs(len(bench.runs) + 1)
    (_, first), (_, second) = bench.runs
    assert first == {
        "Schedule": {"AdjustForDST": True},
        "ScheduleStatus": {
            "Last": "0001-01-01T00:00:00+00:00",
            "Next": "2024-05-01T12:01:00+00:00",
            "LastUpdated": "2024-05-01T12:00:30+00:00",
        },
        "IsPastDue": False,
    }
    assert second["ScheduleStatus"]["Last"] == "2024-05-01T12:01:30+00:00"
    assert second["ScheduleStatus"]["Next"] == "2024-05-01T12:02:00+00:00"
    assert bench.status()["Next"] == "2024-05-01T12:03:00+00:00"


async def test_a_missed_run_is_made_up_for_once_at_the_next_start(bench) -> None:
    first = bench.timer()
    await bench.start(first, bench.deliver)
    await bench.clock.turn(seconds=30)
    await bench.until_runs(1)
    await first.stop()
    await first.stop()  # twice does no harm
    await bench.clock.turn(minutes=10, seconds=30)
    await bench.start(bench.timer(), bench.deliver)
    await bench.until_runs(2)
    assert bench.times[1] == "12:11:30"
    assert [info["IsPastDue"] for _, info in bench.runs] == [False, True]
    await bench.clock.turn(seconds=30)
    await bench.until_runs(3)
    assert bench.runs[2][1]["IsPastDue"] is False


async def test_a_changed_schedule_is_not_past_due(bench) -> None:
    first = bench.timer("0 * * * * *")
    await bench.start(first, bench.deliver)
    await bench.clock.turn(seconds=30)
    await bench.until_runs(1)
    await first.stop()
    await bench.clock.turn(hours=3)
    await bench.start(bench.timer("0 */20 * * * *"), bench.deliver)
    await bench.settle()
    assert len(bench.runs) == 1
    assert bench.status()["Next"] == "2024-05-01T15:20:00+00:00"


async def test_without_a_monitor_nothing_is_stored_and_nothing_made_up_for(bench) -> None:
    for _ in range(2):
        timer = bench.timer(use_monitor=False)
        await bench.start(timer, bench.deliver)
        await bench.settle()
        await timer.stop()
        await bench.clock.turn(minutes=5)
    assert bench.runs == []
    assert not [name for name in bench.state.blobs if name.startswith("timers/")]


async def test_run_on_startup_runs_once_and_the_schedule_goes_on(bench) -> None:
    await bench.start(bench.timer(run_on_startup=True), bench.deliver)
    await bench.until_runs(1)
    await bench.clock.turn(seconds=30)
    await bench.until_runs(2)
    assert [info["IsPastDue"] for _, info in bench.runs] == [False, False]


async def test_a_failing_function_does_not_stop_the_schedule(bench) -> None:
    errors = [InvocationFailed("user"), RuntimeError("ours")]

    async def fail(event: Event) -> None:
        await bench.deliver(event)
        raise errors[len(bench.runs) % 2]

    await bench.start(bench.timer(), fail)
    for count in (1, 2, 3):
        await bench.clock.turn(minutes=1)
        await bench.until_runs(count)


async def test_a_run_longer_than_its_interval_never_overlaps_and_skips_what_it_missed(bench) -> None:
    release = asyncio.Event()

    async def slow(event: Event) -> None:
        await bench.deliver(event)
        await release.wait()

    await bench.start(bench.timer(), slow)
    await bench.clock.turn(seconds=30)
    await bench.until_runs(1)
    await bench.clock.turn(minutes=5)
    await bench.settle()
    assert len(bench.runs) == 1
    release.set()
    await bench.until_runs(2)  # one run at once for all that were missed, then by the clock again
    await bench.clock.turn(seconds=60)
    await bench.until_runs(3)
    assert bench.times == ["12:01:00", "12:06:00", "12:07:00"]


async def test_stopping_waits_for_the_run_under_way(bench) -> None:
    release, ended = asyncio.Event(), asyncio.Event()

    async def slow(event: Event) -> None:
        await bench.deliver(event)
        await release.wait()
        ended.set()

    timer = bench.timer()
    await bench.start(timer, slow)
    await bench.clock.turn(seconds=30)
    await bench.until_runs(1)
    stopping = asyncio.create_task(timer.stop(10))
    await bench.settle()
    release.set()
    await stopping
    assert ended.is_set()
    assert bench.status()["Last"] == "2024-05-01T12:01:00+00:00"


async def test_a_run_that_does_not_end_in_time_is_given_up_and_made_up_for_later(bench) -> None:
    async def endless(event: Event) -> None:
        await bench.deliver(event)
        await asyncio.Event().wait()

    timer = bench.timer()
    await bench.start(timer, endless)
    await bench.clock.turn(seconds=30)
    await bench.until_runs(1)
    await timer.stop(0.05)
    await bench.clock.turn(seconds=1)
    await bench.start(bench.timer(), bench.deliver)
    await bench.until_runs(2)
    assert bench.runs[1][1]["IsPastDue"] is True


async def test_the_function_can_be_started_by_hand(bench) -> None:
    timer = bench.timer()
    await bench.start(timer, bench.deliver)
    await timer.start_by_hand("")
    assert bench.times == ["12:00:30"]
    assert bench.status()["Next"] == "2024-05-01T12:01:00+00:00"


# --- several hosts ---


@pytest.fixture
def quick_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiting hosts look often."""
    monkeypatch.setattr(singleton, "_MAX_POLL_S", 0.02)


async def test_one_of_two_hosts_runs_and_the_other_takes_over_when_it_stops(bench, quick_locks) -> None:
    first, second = bench.timer(), bench.timer()
    await bench.start(first, bench.deliver)
    await bench.start(second, bench.deliver)
    await bench.clock.turn(seconds=30)
    await bench.until_runs(1)
    await first.stop()
    await bench.until(lambda: second._parts and second._parts.lock.is_held, "the lock changes hands")
    await bench.settle()
    assert len(bench.runs) == 1  # what the first did is not done again
    await bench.clock.turn(seconds=60)
    await bench.until_runs(2)


async def test_a_killed_hosts_timer_goes_on_elsewhere_when_its_lease_ends(bench, quick_locks) -> None:
    first, second = bench.timer(), bench.timer()
    await bench.start(first, bench.deliver)
    await bench.start(second, bench.deliver)
    for task in (first._task, first._parts.lock._task):
        task.cancel()  # as SIGKILL would have it
    await bench.clock.turn(seconds=31)
    await bench.settle()
    assert bench.runs == []
    bench.state.clock_ahead_s = 16
    await bench.until_runs(1)
    assert bench.runs[0][1]["IsPastDue"] is True


async def test_a_lost_lease_stops_the_schedule_until_it_is_had_again(bench, quick_locks) -> None:
    timer = bench.timer(lock_period_s=1)
    await bench.start(timer, bench.deliver)
    lock = bench.state.blobs[f"locks/{bench.host_id}/Host.Functions.score.Listener"]
    lock.lease, lock.lease_end = "another host", time.time() + 3600
    await bench.until(lambda: not timer._parts.lock.is_held, "the loss is noticed")
    await bench.clock.turn(seconds=30)
    await bench.settle()
    assert bench.runs == []
    lock.lease_end = 0
    await bench.until_runs(1)


@dataclass(slots=True)
class FlakyState(MemoryState):
    is_away: bool = False

    async def put(self, name: str, data: bytes, *, overwrite: bool = True) -> None:
        if self.is_away:
            raise StorageUnavailable("away")
        await MemoryState.put(self, name, data, overwrite=overwrite)


async def test_a_status_that_could_not_be_written_is_remembered(bench) -> None:
    bench.state = FlakyState()
    timer = bench.timer()
    await bench.start(timer, bench.deliver)
    await bench.settle()
    bench.state.is_away = True
    await bench.clock.turn(seconds=30)
    await bench.until_runs(1)
    bench.state.is_away = False
    timer._parts.lock.lost.set()  # the outage cost the lock, too
    await bench.until(lambda: bench.status()["Last"] == "2024-05-01T12:01:00+00:00", "the status is written")
    assert len(bench.runs) == 1


# --- real storage, real time ---


async def test_a_real_schedule_of_each_second_runs_on_the_second(bench, azurite) -> None:
    bench.connection = StorageConnection.parse("S", azurite.connection_string)
    bench.clock, bench.state = SystemClock(), None
    ticks: list[float] = []

    async def tick(event: Event) -> None:
        ticks.append(time.time())
        assert json.loads(event.payload)["ScheduleStatus"] is None

    await bench.start(bench.timer("* * * * * *"), tick)
    await bench.start(bench.timer("* * * * * *"), tick)  # waits for the first to end
    await bench.until(lambda: len(ticks) == 3, "three runs", 5)
    assert [round(after - before) for before, after in itertools.pairwise(ticks)] == [1, 1]
    assert all(tick % 1 < 0.3 for tick in ticks)


async def test_status_and_lock_are_the_documented_blobs(bench, azurite) -> None:
    bench.connection = StorageConnection.parse("S", azurite.connection_string)
    bench.state = None
    timer = bench.timer("0 0 3 * * *")
    await bench.start(timer, bench.deliver)
    await bench.until(lambda: timer._status, "the first status")
    async with BlobServiceClient.from_connection_string(azurite.connection_string) as service:
        container = service.get_container_client("azure-webjobs-hosts")
        blob = container.get_blob_client(f"timers/{bench.host_id}/Host.Functions.score/status")
        deadline = time.monotonic() + 5
        while not await blob.exists():
            assert time.monotonic() < deadline
        status = json.loads(await (await blob.download_blob()).readall())
        assert status == {
            "Last": "0001-01-01T00:00:00+00:00",
            "Next": "2024-05-02T03:00:00+00:00",
            "LastUpdated": "2024-05-01T12:00:30+00:00",
        }
        lock = container.get_blob_client(f"locks/{bench.host_id}/Host.Functions.score.Listener")
        assert (await lock.get_blob_properties()).lease.state == "leased"
        await timer.stop()
        assert (await lock.get_blob_properties()).lease.state == "available"
        # What Azure's host wrote is understood, seven digits and all.
        await blob.upload_blob(
            b'{"Last":"2024-05-01T03:00:00.0000001+00:00","Next":"2024-05-01T03:00:00Z",'
            b'"LastUpdated":"2024-05-01T03:00:00.0000001+00:00"}',
            overwrite=True,
        )
    bench.clock.moment = datetime(2024, 5, 2, 4, tzinfo=timezone.utc)
    await bench.start(bench.timer("0 0 3 * * *"), bench.deliver)
    await bench.settle()


async def test_a_refused_key_ends_the_start_with_the_settings_name(bench, azurite) -> None:
    parts = [p for p in azurite.connection_string.split(";") if p and not p.startswith("AccountKey")]
    connection = StorageConnection.parse("AzureWebJobsStorage", ";".join([*parts, "AccountKey=d3Jvbmc="]))
    timer = TimerTrigger("f", TimerOptions(parse_schedule("00:01", timezone.utc)), "id", connection)
    with pytest.raises(ConnectionSettingError, match="AzureWebJobsStorage"):
        await timer.start(bench.deliver)
