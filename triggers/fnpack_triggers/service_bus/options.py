"""What a user may set about Service Bus (host.json `extensions.serviceBus`)."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

_CALLS_PER_CORE = 16


def _default_calls() -> int:
    return _CALLS_PER_CORE * (os.cpu_count() or 1)


@dataclass(frozen=True, slots=True)
class BusOptions:
    """How messages are received and sent. Times are in seconds.

    A message's lock is renewed while its function runs, for `max_renewal_s` at most (None: without bound).
    `try_timeout_s` bounds one call to the broker. After a failure `delay_s` passes before the next try, then
    twice that, up to `max_delay_s`.
    """

    max_concurrent_calls: int = field(default_factory=_default_calls)
    prefetch_count: int = 0
    is_auto_complete: bool = True
    max_renewal_s: float | None = 300.0
    try_timeout_s: float = 60.0
    delay_s: float = 0.8
    max_delay_s: float = 60.0
    is_web_sockets: bool = False
