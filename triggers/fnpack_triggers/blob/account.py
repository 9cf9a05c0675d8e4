"""Opens the Azure clients of one storage account, with our own loops in charge of retries.

The only module that imports `azure.storage` at run time: the others take its names from here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from fnpack_triggers.azure_imports import allow_missing_cryptography
from fnpack_triggers.connections import StorageConnection
from fnpack_triggers.identity import AsyncCredential, SyncCredential

allow_missing_cryptography()

from azure.storage.blob import ContentSettings  # noqa: E402 - after the line above
from azure.storage.blob.aio import BlobLeaseClient, BlobServiceClient  # noqa: E402

if TYPE_CHECKING:
    from azure.storage.blob import BlobServiceClient as SyncBlobServiceClient
    from azure.storage.queue import QueueClient as SyncQueueClient
    from azure.storage.queue.aio import QueueClient

    from fnpack_triggers.blob.transport import SignedInTransport

__all__ = [
    "BlobLeaseClient",
    "BlobServiceClient",
    "ContentSettings",
    "blocking_blobs",
    "blocking_queue",
    "open_blobs",
    "open_queue",
]

# Seconds. A call must fail well within a lease (30 s) so that its holder notices in time.
_CONNECT_TIMEOUT_S = 5
_READ_TIMEOUT_S = 20
_BLOCKING_READ_TIMEOUT_S = 60


def open_blobs(connection: StorageConnection, *, retries: int = 0) -> BlobServiceClient:
    """A blob client for `connection`; close it after use.

    Raises ConnectionSettingError when the connection does not say where the blobs are.
    """
    identity = connection.with_blobs().identity
    if identity is None:
        return BlobServiceClient.from_connection_string(
            connection.text,
            retry_total=retries,
            initial_backoff=1,
            increment_base=2,
            connection_timeout=_CONNECT_TIMEOUT_S,
            read_timeout=_READ_TIMEOUT_S,
        )
    credential = AsyncCredential(identity.sign_in)
    return BlobServiceClient(
        identity.blob_uri,
        credential,
        retry_total=retries,
        initial_backoff=1,
        increment_base=2,
        transport=_transport(credential),
    )


def open_queue(connection: StorageConnection, name: str, *, is_base64: bool = True) -> QueueClient:
    """A client for the queue `name`; close it after use.

    It writes messages as base64, as Azure's host does, or with `is_base64=False` as they are. It reads them as
    they are. Raises ValueError when the connection string has no queue endpoint, ConnectionSettingError when the
    identity connection does not say where the queues are.
    """
    from azure.storage.queue import TextBase64EncodePolicy
    from azure.storage.queue.aio import QueueClient

    encoding = TextBase64EncodePolicy() if is_base64 else None
    identity = connection.with_queues().identity
    if identity is None:
        return QueueClient.from_connection_string(
            connection.text,
            name,
            message_encode_policy=encoding,
            retry_total=0,
            connection_timeout=_CONNECT_TIMEOUT_S,
            read_timeout=_READ_TIMEOUT_S,
        )
    credential = AsyncCredential(identity.sign_in)
    return QueueClient(
        identity.queue_uri,
        name,
        credential,
        message_encode_policy=encoding,
        retry_total=0,
        transport=_transport(credential),
    )


@contextmanager
def blocking_blobs(connection: StorageConnection) -> Iterator[SyncBlobServiceClient]:
    """A blob client that blocks, for a command, open as long as the context is. Raises as `open_blobs`."""
    from azure.storage.blob import BlobServiceClient as SyncBlobServiceClient
    from azure.storage.blob import LinearRetry

    retry = LinearRetry(backoff=1, retry_total=2, random_jitter_range=0)
    identity = connection.with_blobs().identity
    if identity is None:
        with SyncBlobServiceClient.from_connection_string(
            connection.text,
            retry_policy=retry,
            connection_timeout=_CONNECT_TIMEOUT_S,
            read_timeout=_BLOCKING_READ_TIMEOUT_S,
        ) as service:
            yield service
        return
    with (
        closing(SyncCredential(identity.sign_in)) as credential,
        SyncBlobServiceClient(
            identity.blob_uri,
            credential,
            retry_policy=retry,
            connection_timeout=_CONNECT_TIMEOUT_S,
            read_timeout=_BLOCKING_READ_TIMEOUT_S,
        ) as service,
    ):
        yield service


@contextmanager
def blocking_queue(connection: StorageConnection, name: str) -> Iterator[SyncQueueClient]:
    """A client for the queue `name` that blocks, for a command. Texts are as they are. Raises as `open_queue`."""
    from azure.storage.queue import LinearRetry
    from azure.storage.queue import QueueClient as SyncQueueClient

    retry = LinearRetry(backoff=1, retry_total=2, random_jitter_range=0)
    identity = connection.with_queues().identity
    if identity is None:
        with SyncQueueClient.from_connection_string(
            connection.text,
            name,
            retry_policy=retry,
            connection_timeout=_CONNECT_TIMEOUT_S,
            read_timeout=_BLOCKING_READ_TIMEOUT_S,
        ) as queue:
            yield queue
        return
    with (
        closing(SyncCredential(identity.sign_in)) as credential,
        SyncQueueClient(
            identity.queue_uri,
            name,
            credential,
            retry_policy=retry,
            connection_timeout=_CONNECT_TIMEOUT_S,
            read_timeout=_BLOCKING_READ_TIMEOUT_S,
        ) as queue,
    ):
        yield queue


def _transport(credential: AsyncCredential) -> SignedInTransport:
    from fnpack_triggers.blob.transport import SignedInTransport

    return SignedInTransport(credential, connection_timeout=_CONNECT_TIMEOUT_S, read_timeout=_READ_TIMEOUT_S)
