"""Reports a blob that was given up: a message in the queue that Azure's own host uses, in the same words."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fnpack_triggers.blob.account import open_queue
from fnpack_triggers.blob.faults import NotFoundError, translated
from fnpack_triggers.connections import StorageConnection

if TYPE_CHECKING:
    from azure.storage.queue.aio import QueueClient

POISON_QUEUE = "webjobs-blobtrigger-poison"


@dataclass(frozen=True, slots=True)
class PoisonQueue:
    """The poison queue of the trigger's storage account; created at the first use."""

    connection: StorageConnection
    function: str

    def message(self, container: str, name: str, etag: str, blob_type: str) -> str:
        """The documented JSON, as one line."""
        return json.dumps(
            {
                "Type": "BlobTrigger",
                "FunctionId": f"Host.Functions.{self.function}",
                "BlobType": blob_type,
                "ContainerName": container,
                "BlobName": name,
                "ETag": etag,
            },
            ensure_ascii=False,
        )

    async def send(self, message: str) -> None:
        """Put `message` there. Raises StorageUnavailable, StorageRefused, or ValueError without a queue endpoint."""
        async with open_queue(self.connection, POISON_QUEUE) as queue:
            try:
                with translated("write to the poison queue", self.connection.account):
                    await queue.send_message(message)
            except NotFoundError:
                with translated("create the poison queue", self.connection.account):
                    await _create(queue)
                with translated("write to the poison queue", self.connection.account):
                    await queue.send_message(message)


async def _create(queue: QueueClient) -> None:
    """Create the queue, unless another host was quicker: the service then says 204 or 409, and the SDK raises."""
    from azure.core.exceptions import HttpResponseError

    try:
        await queue.create_queue()
    except HttpResponseError as exc:
        if exc.error_code != "QueueAlreadyExists":  # type: ignore[attr-defined]
            raise
