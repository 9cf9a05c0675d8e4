"""When a lock is to be renewed, and the lock of a session, which stands for those of its messages."""

from __future__ import annotations

import time
from datetime import datetime, timezone
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fnpack_triggers.service_bus.link import ReceivingLink

_MIN_RENEWAL_S = 0.5


def half_of(until: datetime | None) -> float:
    """When half of the time to `until` is over, by the monotonic clock."""
    if until is None:
        return float("inf")
    left_s = (until - datetime.now(timezone.utc)).total_seconds()
    return time.monotonic() + max(left_s / 2, _MIN_RENEWAL_S)


class SessionLock:
    """The lock of the session that a link holds. One function may run under it for `max_run_s` (None: no bound)."""

    def __init__(self, link: ReceivingLink, max_run_s: float | None) -> None:
        self._link = link
        self._max_run_s = float("inf") if max_run_s is None else max_run_s
        self._busy_since: float | None = None
        self.renew_at = half_of(link.session_locked_until)

    async def renew_if_due(self, *, is_busy: bool) -> None:
        """Renew it at half time, unless what runs takes too long. Raises LockLost."""
        now = time.monotonic()
        if not is_busy:
            self._busy_since = None
        elif self._busy_since is None:
            self._busy_since = now
        if now < self.renew_at:
            return
        if self._busy_since is not None and now - self._busy_since >= self._max_run_s:
            self.renew_at = float("inf")
            return
        await self._link.renew_session()
        self.renew_at = half_of(self._link.session_locked_until)
