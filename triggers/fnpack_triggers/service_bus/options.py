"""What a user may set about Service Bus (host.json `extensions.serviceBus`)."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

_CALLS_PER_CORE = 16
_MAX_BACKOFF_S = 10.0


def _default_calls() -> int:
    return _CALLS_PER_CORE * (os.cpu_count() or 1)


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy for web sockets; `address` is `http://HOST`."""

    address: str
    port: int
    user: str = ""
    password: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class BusOptions:
    """How messages are received and sent. Times are in seconds.

    A message's lock is renewed while its function runs, for `max_renewal_s` at most (None: without bound).
    `try_timeout_s` bounds one call to the broker. After a failure `delay_s` passes before the next try, then
    twice that (or the same, with `is_fixed_delay`), up to `max_delay_s`; an output gives up after `max_retries`.

    A batch has at most `max_batch` messages; it is run as soon as there are `min_batch`, or after
    `max_batch_wait_s`. A session is let go when no message comes for `session_idle_s` (None: `try_timeout_s`).
    """

    max_concurrent_calls: int = field(default_factory=_default_calls)
    prefetch_count: int = 0
    is_auto_complete: bool = True
    max_renewal_s: float | None = 300.0
    try_timeout_s: float = 60.0
    delay_s: float = 0.8
    max_delay_s: float = 60.0
    max_retries: int = 3
    is_fixed_delay: bool = False
    is_web_sockets: bool = False
    proxy: Proxy | None = None
    max_batch: int = 1000
    min_batch: int = 1
    max_batch_wait_s: float = 30.0
    max_sessions: int = 8
    max_calls_per_session: int = 1
    session_idle_s: float | None = None

    @property
    def idle_s(self) -> float:
        """How long a session is held without a message."""
        return self.try_timeout_s if self.session_idle_s is None else self.session_idle_s

    def next_delay_s(self, delay_s: float) -> float:
        """The wait after one of `delay_s`; never so long that the end of an outage is missed for minutes."""
        return min(delay_s if self.is_fixed_delay else delay_s * 2, self.max_delay_s, _MAX_BACKOFF_S)
