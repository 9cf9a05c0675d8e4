"""How a function's call is answered: as Azure's host does, or as SDK v1's server did."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from fnpack_host.http.asgi import TEXT, Send, reply, reply_facts


class AnswerStyle(Protocol):
    """Sends answers. `text_as_json` says whether an entry script's text is to be encoded as JSON."""

    @property
    def text_as_json(self) -> bool:
        """See above."""

    async def refuse(self, send: Send, status: int) -> None:
        """Answer a call that reached no function, or whose function gave no answer."""

    async def answer(self, send: Send, facts: Mapping[str, object], body: bytes) -> None:
        """Answer with what the function gave."""


class AzureStyle:
    """A status and no body; what the function gave, as it is."""

    text_as_json = False

    async def refuse(self, send: Send, status: int) -> None:
        """Answer with the status."""
        if status == 503:
            await reply(send, 503, b"Function host is not running.", TEXT)
        else:
            await reply(send, status)

    async def answer(self, send: Send, facts: Mapping[str, object], body: bytes) -> None:
        """Answer with what the function gave."""
        await reply_facts(send, facts, body)


AZURE = AzureStyle()
