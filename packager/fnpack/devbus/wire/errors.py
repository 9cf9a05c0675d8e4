"""A client that breaks the protocol."""

from __future__ import annotations

from fnpack_triggers.errors import ServiceError


class ProtocolError(ServiceError):
    """The client breaks AMQP's rules; its connection is closed with this condition."""

    code = "FN553"

    def __init__(self, condition: str, description: str) -> None:
        super().__init__(description)
        self.condition = condition
