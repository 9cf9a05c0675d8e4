"""What a user may set about storage queues (host.json `extensions.queues`)."""

from __future__ import annotations

from dataclasses import dataclass

MAX_BATCH_SIZE = 32  # the service gives no more at once
MIN_POLLING_INTERVAL_S = 0.1
MAX_VISIBILITY_S = 7 * 24 * 3600.0
_FIRST_HOLD_S = 60.0


@dataclass(frozen=True, slots=True)
class QueueOptions:
    """How a queue is polled. Times are in seconds.

    Messages are received `batch_size` at a time, whenever no more than `new_batch_threshold` of them are still
    running. `retry_after_s` is how long a failed message stays invisible; `hold_s` how long a message is kept
    from others while it runs (renewed at half time), and so how late it comes back after a host was killed. A
    message just received is kept for `first_hold_s`.
    """

    batch_size: int = 16
    new_batch_threshold: int = 8
    max_polling_interval_s: float = 60.0
    retry_after_s: float = 0.0
    max_dequeue_count: int = 5
    is_base64: bool = True
    hold_s: float = 600.0

    @property
    def first_hold_s(self) -> float:
        """Shorter than `hold_s`: a message in an answer that never arrives is nobody's for so long."""
        return min(self.hold_s, _FIRST_HOLD_S)
