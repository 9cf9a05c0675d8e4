"""The wall clock that timers follow; a seam, so that tests need not wait for midnight."""

from __future__ import annotations

import asyncio
from datetime import datetime, timezone
from typing import Protocol

_LONGEST_S = 30.0  # the wall clock may be set, and a machine may sleep


class Clock(Protocol):
    """Tells the time and waits for one."""

    def now(self) -> datetime:
        """Now, in UTC."""

    async def sleep_until(self, moment: datetime) -> None:
        """Return once `now()` is not before `moment`."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """See `Clock`."""
        return datetime.now(timezone.utc)

    async def sleep_until(self, moment: datetime) -> None:
        """See `Clock`."""
        while (left_s := (moment - self.now()).total_seconds()) > 0:  # noqa: ASYNC110 - time is no event
            await asyncio.sleep(min(left_s, _LONGEST_S))
