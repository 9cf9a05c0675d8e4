"""What is kept of a timer between runs: when it ran, when it is due; in the blob and form of Azure's host."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone, tzinfo

from fnpack_triggers.base import Json
from fnpack_triggers.blob.faults import NotFoundError
from fnpack_triggers.blob.state import State
from fnpack_triggers.timer.schedule import Schedule

NEVER = datetime.min.replace(tzinfo=timezone.utc)
_MAX_BYTES = 4096


@dataclass(frozen=True, slots=True)
class ScheduleStatus:
    """`last` run (`NEVER` before the first), `next` due time, and when `next` was worked out; all aware."""

    last: datetime
    next: datetime
    last_updated: datetime

    def as_json(self, zone: tzinfo) -> dict[str, Json]:
        """As functions see it and as it is stored: ISO texts in the schedule's zone."""
        return {
            "Last": _iso(self.last, zone),
            "Next": _iso(self.next, zone),
            "LastUpdated": _iso(self.last_updated, zone),
        }

    @classmethod
    def parse(cls, text: bytes) -> ScheduleStatus | None:
        """Read a stored status; None if it is not one."""
        try:
            values = json.loads(text)
            return cls(*(_moment(values.get(key)) for key in ("Last", "Next", "LastUpdated")))
        except (ValueError, AttributeError, TypeError, OverflowError):
            return None


class StatusStore:
    """The status of one timer, in the blob `name`. Calls raise StorageUnavailable and StorageRefused."""

    def __init__(self, state: State, name: str) -> None:
        self._state, self._name = state, name

    async def read(self) -> ScheduleStatus | None:
        """The stored status, or None if there is none that can be read."""
        try:
            return ScheduleStatus.parse(await self._state.read(self._name, 0, _MAX_BYTES))
        except NotFoundError:
            return None

    async def write(self, status: ScheduleStatus, zone: tzinfo) -> None:
        """Store `status`."""
        await self._state.put(self._name, json.dumps(status.as_json(zone)).encode())


def first_status(schedule: Schedule, now: datetime) -> ScheduleStatus:
    """The status of a timer that never ran."""
    return ScheduleStatus(NEVER, schedule.next_after(now), now)


def reviewed(status: ScheduleStatus, schedule: Schedule, now: datetime) -> ScheduleStatus:
    """`status`, unless the schedule was changed since it was stored: then nothing is past due by the new one."""
    basis = status.last if status.last > NEVER else status.last_updated
    if basis <= NEVER:
        return first_status(schedule, now)
    expected = schedule.next_after(basis)
    if abs(expected - status.next) < timedelta(milliseconds=1):
        return status
    if expected < now:
        return first_status(schedule, now)
    return ScheduleStatus(NEVER, expected, basis)


def _iso(moment: datetime, zone: tzinfo) -> str:
    return (moment if moment == NEVER else moment.astimezone(zone)).isoformat()


def _moment(value: object) -> datetime:
    text = str(value)
    if text.startswith("0001-"):
        return NEVER
    head, dot, rest = text.partition(".")
    if dot:  # .NET writes seven digits
        digits = rest[: len(rest) - len(rest.lstrip("0123456789"))]
        text = f"{head}.{digits[:6].ljust(6, '0')}{rest[len(digits) :]}"
    moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
