"""A clock that tests turn, state in memory, and timers that end with their test."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from fnpack_triggers.base import Deliver, Event
from fnpack_triggers.blob.memory import MemoryState
from fnpack_triggers.connections import StorageConnection
from fnpack_triggers.timer.listener import TimerOptions, TimerTrigger
from fnpack_triggers.timer.schedule import parse_schedule


@dataclass
class TurnedClock:
    """Stands still until it is turned."""

    moment: datetime = datetime(2024, 5, 1, 12, 0, 30, tzinfo=timezone.utc)
    _turned: asyncio.Condition = field(default_factory=asyncio.Condition)

    def now(self) -> datetime:
        return self.moment

    async def sleep_until(self, moment: datetime) -> None:
        async with self._turned:
            await self._turned.wait_for(lambda: self.moment >= moment)

    async def turn(self, **by: float) -> None:
        async with self._turned:
            self.moment += timedelta(**by)
            self._turned.notify_all()


@dataclass
class Bench:
    """Timers of one function that share state, and what they delivered: the time, and the timer's information."""

    clock: TurnedClock = field(default_factory=TurnedClock)
    state: Any = field(default_factory=MemoryState)
    connection: StorageConnection = field(
        default_factory=lambda: StorageConnection.parse("S", "UseDevelopmentStorage=true")
    )
    host_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    runs: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    timers: list[TimerTrigger] = field(default_factory=list)

    def timer(self, schedule: str = "0 * * * * *", **options: Any) -> TimerTrigger:
        given = {"lock_period_s": 15, **options}
        one = TimerTrigger(
            "score",
            TimerOptions(parse_schedule(schedule, timezone.utc), **given),
            self.host_id,
            self.connection,
            clock=self.clock,
            state=self.state,
        )
        self.timers.append(one)
        return one

    @property
    def times(self) -> list[str]:
        return [moment for moment, _ in self.runs]

    async def start(self, timer: TimerTrigger, deliver: Deliver) -> None:
        """Start `timer` and let it look at the clock before that is turned."""
        await timer.start(deliver)
        await self.settle()

    async def deliver(self, event: Event) -> None:
        self.runs.append((f"{self.clock.now():%H:%M:%S}", json.loads(event.payload)))

    async def until(self, condition: Callable[[], object], what: str, timeout_s: float = 10.0) -> None:
        deadline = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline, f"not within {timeout_s} s: {what}"
            await asyncio.sleep(0.005)

    async def until_runs(self, count: int) -> None:
        await self.until(lambda: len(self.runs) >= count, f"run number {count}")
        await self.settle()
        assert len(self.runs) == count

    async def settle(self) -> None:
        """Let every task do what it can do now."""
        for _ in range(50):
            await asyncio.sleep(0)

    def status(self) -> dict[str, Any]:
        return json.loads(self.state.blobs[f"timers/{self.host_id}/Host.Functions.score/status"].data)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    one = Bench()
    yield one
    await asyncio.gather(*(timer.stop(0.2) for timer in one.timers))
