"""What all connections share: the entities, the pumps that feed receivers, and the faults that tests inject."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fnpack.devbus.entities.intake import Intake
from fnpack.devbus.entities.namespace import Namespace
from fnpack.devbus.wire.pump import Pump

if TYPE_CHECKING:
    from fnpack.devbus.wire.connection import Connection


@dataclass(slots=True)
class Limits:
    """What one client may take. A connection is one sender or one receiver of the SDK."""

    max_connections: int = 1000
    max_frame_bytes: int = 64 * 1024
    max_sessions: int = 64
    max_handles: int = 256
    max_pending_bytes: int = 8 * 1024 * 1024
    max_unsettled: int = 16_384
    open_timeout_s: float = 15.0


@dataclass(slots=True)
class Faults:
    """What goes wrong on purpose."""

    refuse_tokens: bool = False
    only_token: str = ""  # where it is set, any other is refused


class Broker:
    """Shared by all connections of one server."""

    def __init__(self, namespace: Namespace, limits: Limits) -> None:
        self.namespace = namespace
        self.limits = limits
        self.faults = Faults()
        self.connections: set[Connection] = set()
        self.loop = asyncio.get_running_loop()
        self._pumps: dict[Intake, Pump] = {}
        namespace.on_new = self._add_pump

    def pump(self, entity: Intake) -> Pump:
        """The pump of an entity."""
        return self._pumps[entity]

    def commit(self) -> None:
        """Make the entities' changes last. Called before anything is written to a client."""
        self.namespace.journal.commit()

    def stop(self) -> None:
        """Stop every timer."""
        for pump in self._pumps.values():
            pump.stop()

    def _add_pump(self, entity: Intake) -> None:
        pump = self._pumps[entity] = Pump(entity, self.loop, self.commit)
        entity.on_change = pump.wake
        pump.wake()


def now_ms() -> int:
    """The time in milliseconds since 1970."""
    return time.time_ns() // 1_000_000
