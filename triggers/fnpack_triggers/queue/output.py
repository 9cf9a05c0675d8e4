"""The queue output binding: sends a function's result to the storage queue that its name says."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from fnpack_triggers.base import Binding, Json
from fnpack_triggers.blob.faults import Patience
from fnpack_triggers.connections import StorageConnection
from fnpack_triggers.errors import BindingError, ConnectionSettingError
from fnpack_triggers.expressions import Literal, Template
from fnpack_triggers.json_data import split_items
from fnpack_triggers.queue.channel import QueueChannel
from fnpack_triggers.queue.encoding import encode
from fnpack_triggers.queue.names import check_queue_name
from fnpack_triggers.queue.polling import wake

_BINARY = "application/octet-stream"
_PATIENCE_S = 10.0


class QueueOutput:
    """One `queue` output. Raises BindingError or PatternError when the binding names no queue."""

    def __init__(self, binding: Binding, connection: StorageConnection, *, is_base64: bool = True) -> None:
        name = binding.text("queueName")
        if not name:
            raise BindingError(f"binding `{binding.name}` is a queue: `queueName` is missing")
        self.name = Template.parse(name)
        if all(isinstance(token, Literal) for token in self.name.tokens):
            check_queue_name(self.name.render({}))
        self._connection = connection
        self._is_base64 = is_base64
        self._patience = Patience(connection.account)
        self._channels: dict[str, QueueChannel] = {}

    async def write(self, value: bytes, data: Mapping[str, Json], *, content_type: str) -> str:
        """Send `value`; creates the queue if it is missing. Returns the queue's name and how many messages.

        As in Azure's host, text that is a JSON array becomes a message per item; bytes (`content_type`
        application/octet-stream) are one message whatever they hold. A repeat sends again: storage queues know
        no duplicates. Raises PatternError, BindingError (the rendered name), MessageUnfitError (over 64 KiB),
        StorageUnavailable (worth a retry) or StorageRefused.
        """
        queue = check_queue_name(self.name.render(data))
        items = [value] if content_type == _BINARY else split_items(value)
        texts = [encode(item, queue, is_base64=self._is_base64) for item in items]
        channel = self._channel(queue)
        for text in texts:
            await self._patience.run(partial(channel.send, text), limit_s=_PATIENCE_S)
        wake(self._connection.account, queue)
        return queue if len(texts) == 1 else f"{queue} ({len(texts)} messages)"

    async def close(self) -> None:
        """Close the connections."""
        channels, self._channels = list(self._channels.values()), {}
        for channel in channels:
            await channel.close()

    def _channel(self, queue: str) -> QueueChannel:
        if queue not in self._channels:
            try:
                self._channels[queue] = QueueChannel(self._connection, queue)
            except ValueError as exc:
                raise ConnectionSettingError(
                    f"the connection setting `{self._connection.setting}` has no queue endpoint"
                ) from exc
        return self._channels[queue]
