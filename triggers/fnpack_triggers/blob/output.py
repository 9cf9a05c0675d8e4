"""The blob output binding: writes a function's result to the blob that its path names."""

from __future__ import annotations

from collections.abc import Mapping

from fnpack_triggers.base import Binding, Json
from fnpack_triggers.blob.account import BlobServiceClient, ContentSettings, open_blobs
from fnpack_triggers.blob.faults import ConflictError, NotFoundError, StorageUnavailable, translated
from fnpack_triggers.blob.pattern import parse_output_path
from fnpack_triggers.connections import StorageConnection
from fnpack_triggers.errors import ServiceError

_PARENT_KEY = "AzureWebJobsParentId"
_SDK_RETRIES = 2


class BlobOutput:
    """One `blob` output. Raises PatternError when the binding's path is not one."""

    def __init__(self, binding: Binding, connection: StorageConnection) -> None:
        self.path = parse_output_path(binding.text("path"))
        self._connection = connection
        self._service: BlobServiceClient | None = None

    async def write(self, value: bytes, data: Mapping[str, Json], *, content_type: str) -> str:
        """Write `value` whole or not at all, over whatever is there; creates the container if it is missing.

        `data["InvocationId"]`, where given, is kept in the blob's metadata as Azure's host does. Returns
        `container/name`. Raises PatternError when the path cannot be rendered, StorageUnavailable (worth a
        retry) or another ServiceError.
        """
        container, name = self.path.render(data)
        where = f"{container}/{name}"
        for _ in range(3):
            try:
                with translated(f"write `{where}`", self._connection.account):
                    await self._upload(container, name, value, _metadata(data), content_type)
            except NotFoundError:  # noqa: PERF203 - at most three times
                await self._create(container)
            except ConflictError as exc:
                raise ServiceError(
                    f"`{where}` cannot be written ({exc})",
                    hint="a lease, a legal hold or another blob type at that name prevents it",
                ) from exc
            else:
                return where
        raise StorageUnavailable(f"the container `{container}` vanishes as soon as it is created")

    async def close(self) -> None:
        """Close the connections."""
        if self._service is not None:
            service, self._service = self._service, None
            await service.close()

    async def _upload(
        self, container: str, name: str, value: bytes, metadata: dict[str, str] | None, content_type: str
    ) -> None:
        if self._service is None:
            self._service = open_blobs(self._connection, retries=_SDK_RETRIES)
        # Above 64 MB the library stages blocks; the commit at the end makes the blob appear at once.
        await self._service.get_blob_client(container, name).upload_blob(
            value,
            overwrite=True,
            metadata=metadata,
            content_settings=ContentSettings(content_type=content_type or "application/octet-stream"),
        )

    async def _create(self, container: str) -> None:
        if self._service is None:  # closed meanwhile
            return
        try:
            with translated(f"create the container `{container}`", self._connection.account):
                await self._service.create_container(container)
        except ConflictError:
            pass  # another call was faster, or it is still being deleted


def _metadata(data: Mapping[str, Json]) -> dict[str, str] | None:
    parent = data.get("InvocationId")
    return {_PARENT_KEY: parent} if isinstance(parent, str) else None
