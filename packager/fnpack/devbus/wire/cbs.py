"""Claims-based security: takes every token, because this is a development service, unless told to refuse them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fnpack.devbus.amqp.types import Int
from fnpack.devbus.wire.requests import answer, read_request

if TYPE_CHECKING:
    from fnpack.devbus.wire.incoming import Consume
    from fnpack.devbus.wire.session import Session

CBS = "$cbs"


def cbs_consumer(session: Session) -> Consume:
    """What the token link does with requests."""

    def consume(raw: bytes, _message_format: int) -> None:
        request = read_request(raw)
        faults = session.broker.faults
        if faults.refuse_tokens or (faults.only_token and request.body != faults.only_token):
            status, description = 401, "InvalidSignature: the token has an invalid signature"
        elif request.operation != "put-token":
            status, description = 400, "the operation is not put-token"
        else:
            status, description = 202, "Accepted"
        answer(session, CBS, request, {"status-code": Int(status), "status-description": description}, None)

    return consume
