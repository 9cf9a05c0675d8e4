"""One storage queue as raw texts: receive, renew, release, delete, send. It owns no policy."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from azure.core.exceptions import HttpResponseError

from fnpack_triggers.blob.account import open_queue
from fnpack_triggers.blob.faults import ConflictError, NotFoundError, StorageUnavailable, translated
from fnpack_triggers.connections import StorageConnection

if TYPE_CHECKING:
    from azure.storage.queue import QueueMessage

_NOT_OURS = {"MessageNotFound", "PopReceiptMismatch"}


class QueueAbsentError(Exception):
    """The queue does not exist."""


class NotOursError(Exception):
    """The message was deleted, or another host has taken it since."""


@dataclass(slots=True)
class Message:
    """A received message. `receipt` changes with every renewal.

    `lock` keeps a renewal and the end of a message apart, as each needs the newest receipt; after `is_settled`
    nobody renews it any more.
    """

    id: str
    text: str
    receipt: str
    dequeue_count: int
    inserted_on: datetime
    expires_on: datetime
    visible_on: datetime
    is_settled: bool = False
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class QueueChannel:
    """A queue of one account. Every call may raise StorageUnavailable or StorageRefused.

    The constructor raises ValueError when the connection has no queue endpoint.
    """

    def __init__(self, connection: StorageConnection, name: str) -> None:
        self.name, self.account = name, connection.account
        self._client = open_queue(connection, name, is_base64=False)

    async def receive(self, count: int, hold_s: float) -> list[Message]:
        """Up to `count` messages, invisible to others for `hold_s`. Raises QueueAbsentError."""
        with self._translated("read the queue"):
            pages = self._client.receive_messages(
                messages_per_page=count, max_messages=count, visibility_timeout=math.ceil(hold_s)
            ).by_page()
            async for page in pages:
                return [_message(one) async for one in page]
        return []

    async def renew(self, message: Message, hold_s: float) -> None:
        """Keep `message` from others for `hold_s` from now, unless it is settled. Raises NotOursError."""
        async with message.lock:
            if not message.is_settled:
                await self._hide(message, hold_s)

    async def release(self, message: Message, after_s: float) -> None:
        """Let go of `message`: visible to all in `after_s`. Raises NotOursError."""
        message.is_settled = True
        async with message.lock:
            await self._hide(message, after_s)

    async def delete(self, message: Message) -> None:
        """Delete `message`. Raises NotOursError."""
        message.is_settled = True
        async with message.lock:
            with self._translated("delete a message of"):
                await self._client.delete_message(message.id, message.receipt)

    async def send(self, text: str) -> None:
        """Append `text`; creates the queue if it is missing."""
        for _ in range(3):
            try:
                with self._translated("write to the queue"):
                    await self._client.send_message(text)
                return
            except QueueAbsentError:  # noqa: PERF203 - at most three times
                await self._create()
        raise StorageUnavailable(f"the queue `{self.name}` vanishes as soon as it is created")

    async def close(self) -> None:
        """Release the connections."""
        await self._client.close()

    async def _hide(self, message: Message, hidden_s: float) -> None:
        with self._translated("renew a message of"):
            updated = await self._client.update_message(
                message.id, pop_receipt=message.receipt, visibility_timeout=math.ceil(hidden_s)
            )
        message.receipt = updated.pop_receipt or ""

    async def _create(self) -> None:
        try:
            with self._translated("create the queue"):
                await self._client.create_queue()
        except StorageUnavailable as exc:
            if _code(exc) != "QueueAlreadyExists":
                raise

    @contextmanager
    def _translated(self, operation: str) -> Iterator[None]:
        try:
            with translated(f"{operation} `{self.name}`", self.account):
                yield
        except NotFoundError as exc:
            raise (NotOursError if exc.code in _NOT_OURS else QueueAbsentError)(exc.code) from exc
        except ConflictError as exc:  # a queue that is being deleted cannot be used for up to 30 s
            raise StorageUnavailable(
                f"the queue `{self.name}` cannot be used ({_code(exc)})"
            ) from exc.__cause__
        except Exception as exc:
            if _code(exc) in _NOT_OURS:  # the service answers 400 to a stale receipt
                raise NotOursError(_code(exc)) from exc
            raise


def _message(one: QueueMessage) -> Message:
    never = datetime.max.replace(tzinfo=timezone.utc)
    return Message(
        one.id,
        one.content or "",
        one.pop_receipt or "",
        one.dequeue_count or 1,
        one.inserted_on or never,
        one.expires_on or never,
        one.next_visible_on or never,
    )


def _code(exc: BaseException) -> str:
    cause = exc.__cause__
    if not isinstance(cause, HttpResponseError):
        return ""
    code = getattr(cause, "error_code", None)
    return str(getattr(code, "value", code) or "")
