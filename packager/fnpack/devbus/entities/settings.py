"""What can be set on queues, topics and subscriptions, with the service's defaults. Times are milliseconds."""

from __future__ import annotations

from dataclasses import dataclass, replace

KIB = 1024
DEFAULT_MAX_MESSAGE_BYTES = 256 * KIB
DEFAULT_MAX_ENTITY_BYTES = 256 * KIB * KIB


@dataclass(frozen=True, slots=True)
class QueueSettings:
    """A queue or a subscription. None: no limit, or not wanted."""

    lock_ms: int = 60_000
    max_deliveries: int | None = 10
    ttl_ms: int | None = None
    dead_letter_expired: bool = False
    requires_session: bool = False
    duplicate_window_ms: int | None = None
    forward_to: str | None = None
    forward_dead_letters_to: str | None = None
    max_message_bytes: int = DEFAULT_MAX_MESSAGE_BYTES
    max_entity_bytes: int = DEFAULT_MAX_ENTITY_BYTES

    def of_dead_letters(self) -> QueueSettings:
        """The settings of the dead-letter sub-queue: messages stay until somebody takes them."""
        return replace(
            self,
            max_deliveries=None,
            ttl_ms=None,
            dead_letter_expired=False,
            requires_session=False,
            duplicate_window_ms=None,
            forward_to=self.forward_dead_letters_to,
            forward_dead_letters_to=None,
        )


@dataclass(frozen=True, slots=True)
class TopicSettings:
    """A topic."""

    ttl_ms: int | None = None
    duplicate_window_ms: int | None = None
    max_message_bytes: int = DEFAULT_MAX_MESSAGE_BYTES
    max_entity_bytes: int = DEFAULT_MAX_ENTITY_BYTES
