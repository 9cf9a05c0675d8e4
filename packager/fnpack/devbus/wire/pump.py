"""Moves messages from one entity to the receivers attached to it, in turn, and wakes it when something is due."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Protocol

from fnpack.devbus.entities.intake import Intake

_logger = logging.getLogger("fnpack.devbus")
_MESSAGES_PER_TURN = 128  # then others get their turn of the event loop


class Receiver(Protocol):
    """A link on which messages leave."""

    def deliver(self) -> bool:
        """Send one message if there is one and the client has room for it: whether one was sent."""

    def settle_turn(self) -> None:
        """The turn is over: answer a drain, end a link whose session is lost, flush."""


class Waiting(Protocol):
    """A receiver that waits for a free session."""

    def try_accept(self) -> bool:
        """Take a session if one is free: whether the wait is over."""


class Pump:
    """One per entity. `wake` is cheap and may be called at any time from the event loop."""

    def __init__(self, entity: Intake, loop: asyncio.AbstractEventLoop, commit: Callable[[], None]) -> None:
        self.receivers: deque[Receiver] = deque()
        self.waiting: list[Waiting] = []
        self._entity = entity
        self._loop = loop
        self._commit = commit
        self._is_awake = False
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_ms = 0

    def wake(self) -> None:
        """Run soon."""
        if not self._is_awake:
            self._is_awake = True
            self._loop.call_soon(self._run)

    def stop(self) -> None:
        """No more alarms."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def _run(self) -> None:
        try:
            self._turn()
        except Exception:
            self._is_awake = False
            _logger.exception("the development Service Bus has a bug, met in `%s`", self._entity.name)
        self._set_alarm()

    def _turn(self) -> None:
        self._entity.tick()
        self.waiting = [one for one in self.waiting if not one.try_accept()]
        self._is_awake = False  # what the turn itself makes available is seen in the turn
        sent = idle = 0
        while idle < len(self.receivers) and sent < _MESSAGES_PER_TURN:
            receiver = self.receivers[0]
            self.receivers.rotate(-1)
            if receiver.deliver():
                sent, idle = sent + 1, 0
            else:
                idle += 1
        if sent >= _MESSAGES_PER_TURN:
            self.wake()
        for receiver in list(self.receivers):
            receiver.settle_turn()
        self._commit()

    def _set_alarm(self) -> None:
        due_ms = self._entity.next_due_ms()
        if due_ms is None or (self._alarm is not None and self._alarm_ms <= due_ms):
            return
        self.stop()
        self._alarm_ms = due_ms
        wait_s = max(due_ms - self._entity.clock(), 0) / 1000 + 0.001
        self._alarm = self._loop.call_later(min(wait_s, 3600), self._ring)

    def _ring(self) -> None:
        self._alarm = None
        self.wake()
