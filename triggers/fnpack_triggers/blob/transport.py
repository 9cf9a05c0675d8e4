"""The connections of a client that signs in with an identity: closing them lets go of its credential too."""

from __future__ import annotations

from azure.core.pipeline.transport import AioHttpTransport

from fnpack_triggers.identity import AsyncCredential

_BLOCK_BYTES = 256 * 1024  # what the storage libraries choose where they make the connections themselves


# its package hands it out by a module's __getattr__, so without a type
class SignedInTransport(AioHttpTransport):  # type: ignore[misc]
    """As the storage libraries use it; the times in seconds."""

    def __init__(
        self, credential: AsyncCredential, *, connection_timeout: float, read_timeout: float
    ) -> None:
        super().__init__(
            connection_timeout=connection_timeout,
            read_timeout=read_timeout,
            connection_data_block_size=_BLOCK_BYTES,
        )
        self._credential = credential

    async def close(self) -> None:
        """Close the connections, then the credential unless another client holds it."""
        try:
            await super().close()
        finally:
            await self._credential.close()
