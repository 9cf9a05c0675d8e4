"""Storage queues for a person: send, look, take. It blocks."""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from fnpack.messages.message import Draft, Message
from fnpack.messages.place import Place
from fnpack_triggers.base import Json
from fnpack_triggers.blob.account import blocking_queue
from fnpack_triggers.blob.faults import ConflictError, NotFoundError, StorageRefused, translated
from fnpack_triggers.connections import StorageConnection
from fnpack_triggers.errors import BindingError
from fnpack_triggers.queue.encoding import encode
from fnpack_triggers.queue.names import check_queue_name, poison_queue_of

if TYPE_CHECKING:
    from azure.storage.queue import QueueClient, QueueMessage

_AT_ONCE = 32  # the most that the service gives
_POLL_S = 0.2
_HOLD_S = 60


class StorageQueue:
    """One queue. Every call may raise StorageUnavailable or StorageRefused; the constructor BindingError."""

    def __init__(
        self,
        connection: StorageConnection,
        place: Place,
        *,
        dead_letter: bool = False,
        is_base64: bool = True,
    ) -> None:
        """`dead_letter` means the poison queue beside it; `is_base64` how messages are written."""
        self._connection, self._is_base64 = connection, is_base64
        self._target = check_queue_name(place.name)
        name = poison_queue_of(self._target) if dead_letter else self._target
        if name is None:
            raise BindingError(f"the queue `{place.name}` has no poison queue")
        self.name = name

    def send(self, drafts: Sequence[Draft]) -> list[str]:
        """Send messages; returns their ids."""
        texts = [encode(one.body, self.name, is_base64=self._is_base64) for one in drafts]
        with self._client(self.name, "send to") as queue:
            return [str(queue.send_message(text).id) for text in texts]

    def exists(self) -> bool:
        """Whether the queue is there: a host creates an output queue with the first message."""
        try:
            with (
                translated(f"look at `{self.name}`", self._connection.account),
                blocking_queue(self._connection, self.name) as queue,
            ):
                queue.get_queue_properties()
        except NotFoundError:
            return False
        return True

    def peek(self, count: int) -> list[Message]:
        """Up to `count` messages from the front, 32 at most; none is taken."""
        with self._client(self.name, "look at") as queue:
            return [_message(one) for one in queue.peek_messages(max_messages=min(count, _AT_ONCE))]

    def receive(
        self, count: int, timeout_s: float, *, requeue: bool = False
    ) -> Generator[Message, None, None]:
        """Take up to `count` messages, waiting `timeout_s` for the first.

        Each is deleted when the next is asked for, so that one that could not be shown comes back. With `requeue`
        each is sent again before that, from the poison queue to the queue itself.
        """
        taken, deadline = 0, time.monotonic() + timeout_s
        with (
            self._client(self.name, "receive from") as queue,
            self._client(self._target, "send to") as target,
        ):
            while taken < count:
                left = min(count - taken, _AT_ONCE)
                found = list(queue.receive_messages(max_messages=left, visibility_timeout=_HOLD_S))
                for one in found:
                    yield _message(one)
                    if requeue:
                        target.send_message(one.content)
                    queue.delete_message(one)
                    taken += 1
                if not found:
                    if taken or time.monotonic() >= deadline:
                        break
                    time.sleep(_POLL_S)

    @contextmanager
    def _client(self, name: str, operation: str) -> Iterator[QueueClient]:
        account = self._connection.account
        try:
            with (
                translated(f"{operation} `{name}`", account),
                blocking_queue(self._connection, name) as queue,
            ):
                yield queue
        except (NotFoundError, ConflictError) as error:
            raise StorageRefused(
                f"storage account `{account}` has no queue `{name}`",
                hint="check its name; `fnpack dev` creates what the bindings of its app name, and a poison queue comes "
                "with the first message in it",
            ) from error


def decoded(text: str) -> bytes:
    """What a message's text stands for: text in base64 is read as such, as functions write it; else it is itself."""
    try:
        body = base64.b64decode(text, validate=True)
        body.decode()
    except (binascii.Error, ValueError):  # a UnicodeDecodeError is one
        return text.encode()
    return body


def _message(one: QueueMessage) -> Message:
    facts: dict[str, Json] = {
        "id": one.id,
        "inserted": one.inserted_on.isoformat() if one.inserted_on else None,
        "dequeue_count": one.dequeue_count or None,
    }
    return Message(
        decoded(str(one.content)), {key: value for key, value in facts.items() if value is not None}
    )
