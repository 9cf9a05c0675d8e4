"""What queues and topics have in common: they number what is sent, drop repeats, and hold back scheduled messages."""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from fnpack.devbus.amqp.message import Message
from fnpack.devbus.entities.deadlines import Deadlines
from fnpack.devbus.entities.errors import MessageNotFoundError, MessageSizeError, OutOfRangeError, QuotaError
from fnpack.devbus.entities.journal import Journal
from fnpack.devbus.entities.settings import QueueSettings, TopicSettings
from fnpack.devbus.entities.stored import State, Stored

Clock = Callable[[], int]
LATEST_MS = 253_402_300_799_000  # the end of the year 9999
MAX_ID_CHARACTERS = 128
SCHEDULED_ANNOTATION = "x-opt-scheduled-enqueue-time"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a message comes from that another entity hands over."""

    enqueue_sequence: int | None = None
    dead_letter_source: str | None = None
    hops: int = 0


DIRECT = Origin()


class Intake(ABC):
    """An entity that messages are sent to. `on_change` is called when something has become available or due."""

    def __init__(
        self, name: str, settings: QueueSettings | TopicSettings, clock: Clock, journal: Journal
    ) -> None:
        self.name = name
        self.clock = clock
        self.on_change: Callable[[], None] = lambda: None
        self._limits = settings
        self._journal = journal
        self._key = name.casefold()
        self._messages: dict[int, Stored] = {}
        self._bytes = 0
        self._next_sequence = journal.load_next_sequence(self._key)
        self._scheduled: Deadlines[int] = Deadlines()
        self._seen: dict[str, int] = dict(journal.load_seen(self._key))
        self._seen_order: deque[tuple[int, str]] = deque((at_ms, one) for one, at_ms in self._seen.items())

    def __len__(self) -> int:
        return len(self._messages)

    @property
    def max_message_bytes(self) -> int:
        """The largest message that the entity takes."""
        return self._limits.max_message_bytes

    def send(self, message: Message, size_bytes: int = 0, origin: Origin = DIRECT) -> int | None:
        """Take a message: its sequence number, or None if it repeats one that was seen. Raises BusError.

        A message with the annotation `x-opt-scheduled-enqueue-time` waits for that time.
        """
        due_ms = message.annotation(SCHEDULED_ANNOTATION)
        if isinstance(due_ms, int) and due_ms > self.clock():
            return self.schedule(message, int(due_ms), size_bytes)
        self.check(message, size_bytes)
        if self._is_repeat(message):
            return None
        sequence = self._number()
        self._arrive(message, sequence, origin)
        self.on_change()
        return sequence

    def schedule(self, message: Message, due_ms: int, size_bytes: int = 0) -> int:
        """Take a message that becomes active later: the number to cancel it by. Raises BusError."""
        self.check(message, size_bytes)
        if self._is_repeat(message):
            return self._number()
        stored = Stored(message, self._number(), self.clock(), State.SCHEDULED, due_ms=min(due_ms, LATEST_MS))
        self._keep(stored)
        self.on_change()
        return stored.sequence

    def cancel_scheduled(self, sequences: Iterable[int]) -> None:
        """Take scheduled messages back. Raises MessageNotFoundError; then none is taken back."""
        found = [self._messages.get(sequence) for sequence in sequences]
        for stored in found:
            if stored is None or stored.state is not State.SCHEDULED:
                raise MessageNotFoundError(f"`{self.name}`: no such scheduled message")
        for stored in found:
            if stored is not None and stored.sequence in self._messages:
                self._drop(stored)

    def peek(self, from_sequence: int, count: int, session_id: str | None = None) -> list[Stored]:
        """Look at messages in order of their numbers, whoever holds them."""
        numbers = sorted(self._messages)
        found: list[Stored] = []
        for number in numbers[bisect_left(numbers, from_sequence) :]:
            stored = self._messages[number]
            if session_id is None or stored.message.session_id == session_id:
                found.append(stored)
                if len(found) >= count:
                    break
        return found

    def check(self, message: Message, size_bytes: int = 0) -> None:
        """Raise BusError if the entity does not take this message."""
        for what, value in (("message id", message.message_id), ("session id", message.session_id)):
            if value is not None and len(value) > MAX_ID_CHARACTERS:
                raise OutOfRangeError(
                    f"`{self.name}`: the {what} has more than {MAX_ID_CHARACTERS} characters"
                )
        size_bytes = max(size_bytes, message.size_bytes)
        if size_bytes > self._limits.max_message_bytes:
            limit = self._limits.max_message_bytes
            raise MessageSizeError(f"`{self.name}`: the message has {size_bytes} bytes, more than {limit}")
        if self._bytes + size_bytes > self._limits.max_entity_bytes:
            raise QuotaError(f"`{self.name}`: the entity is full ({self._limits.max_entity_bytes} bytes)")

    def tick(self) -> None:
        """Do what is due: scheduled messages become active, forgotten ids may be used again."""
        now_ms = self.clock()
        for sequence in list(self._scheduled.pop_due(now_ms)):
            stored = self._messages[sequence]
            self._drop(stored)
            # its place is behind what came meanwhile, so it gets a new number, as in the service
            self._arrive(stored.message, self._number(), Origin(enqueue_sequence=sequence))
        window_ms = self._limits.duplicate_window_ms
        if window_ms is not None and self._seen_order and self._seen_order[0][0] <= now_ms - window_ms:
            self._forget(now_ms - window_ms)

    def next_due_ms(self) -> int | None:
        """When `tick` has something to do next."""
        return self._scheduled.next_ms()

    @abstractmethod
    def _arrive(self, message: Message, sequence: int, origin: Origin) -> None:
        """The message is in: make it available."""

    def _number(self) -> int:
        sequence = self._next_sequence
        self._next_sequence += 1
        self._journal.next_sequence(self._key, self._next_sequence)
        return sequence

    def _keep(self, stored: Stored) -> None:
        self._messages[stored.sequence] = stored
        self._bytes += stored.message.size_bytes
        if stored.state is State.SCHEDULED and stored.due_ms is not None:
            self._scheduled.set(stored.sequence, stored.due_ms)
        self._journal.put(self._key, stored)

    def _drop(self, stored: Stored) -> None:
        del self._messages[stored.sequence]
        self._bytes -= stored.message.size_bytes
        self._scheduled.discard(stored.sequence)
        self._journal.remove(self._key, stored.sequence)

    def _is_repeat(self, message: Message) -> bool:
        window_ms, message_id = self._limits.duplicate_window_ms, message.message_id
        if window_ms is None or message_id is None:
            return False
        now_ms = self.clock()
        self._forget(now_ms - window_ms)
        if message_id in self._seen:
            return True
        self._seen[message_id] = now_ms
        self._seen_order.append((now_ms, message_id))
        self._journal.seen(self._key, message_id, now_ms)
        return False

    def _forget(self, until_ms: int) -> None:
        is_changed = False
        while self._seen_order and self._seen_order[0][0] <= until_ms:
            self._seen.pop(self._seen_order.popleft()[1], None)
            is_changed = True
        if is_changed:
            self._journal.forget(self._key, until_ms)
