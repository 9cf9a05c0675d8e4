"""How a function's call is answered: as Azure's host does, or as SDK v1's server did."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from fnpack_host.http.asgi import TEXT, Response


class AnswerStyle(Protocol):
    """Makes answers. `text_as_json` says whether an entry script's text is to be encoded as JSON."""

    @property
    def text_as_json(self) -> bool:
        """See above."""

    def refusal(self, status: int) -> Response:
        """The answer to a call that reached no function, or whose function gave none."""

    def answer(self, facts: Mapping[str, object], body: bytes) -> Response:
        """The answer of what the function gave."""


class AzureStyle:
    """A status and no body; what the function gave, as it is."""

    text_as_json = False

    def refusal(self, status: int) -> Response:
        """The status."""
        if status == 503:
            return Response.make(503, b"Function host is not running.", TEXT)
        return Response.make(status)

    def answer(self, facts: Mapping[str, object], body: bytes) -> Response:
        """What the function gave."""
        return Response.of_facts(facts, body)


AZURE = AzureStyle()
