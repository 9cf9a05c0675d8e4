"""The blob input binding: reads the blob that its path names."""

from __future__ import annotations

from collections.abc import Mapping

from fnpack_triggers.base import Binding, Json
from fnpack_triggers.blob.account import BlobServiceClient, open_blobs
from fnpack_triggers.blob.faults import NotFoundError, translated
from fnpack_triggers.blob.pattern import parse_output_path
from fnpack_triggers.connections import StorageConnection

_SDK_RETRIES = 2


class BlobInput:
    """One `blob` input. Raises PatternError when the binding's path is not one."""

    def __init__(self, binding: Binding, connection: StorageConnection) -> None:
        self.path = parse_output_path(binding.text("path"))
        self._connection = connection
        self._service: BlobServiceClient | None = None

    async def read(self, data: Mapping[str, Json]) -> bytes | None:
        """The blob's bytes; None where it, or its container, does not exist.

        Raises PatternError when the path cannot be rendered, StorageUnavailable or another ServiceError.
        """
        container, name = self.path.render(data)
        if self._service is None:
            self._service = open_blobs(self._connection, retries=_SDK_RETRIES)
        try:
            with translated(f"read `{container}/{name}`", self._connection.account):
                stream = await self._service.get_blob_client(container, name).download_blob()
                return await stream.readall()
        except NotFoundError:
            return None

    async def close(self) -> None:
        """Close the connections."""
        if self._service is not None:
            service, self._service = self._service, None
            await service.close()
