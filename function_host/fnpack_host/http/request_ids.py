"""The ids that SDK v1's server took from a request and put on its answer.

Source: azureml-inference-server-http, request headers.
"""

from __future__ import annotations

from typing import NamedTuple

from fnpack_host.http.asgi import Message, RawHeaders
from fnpack_host.invoker import new_invocation_id

MAX_CHARACTERS = 100
_NAMES = (b"x-request-id", b"x-ms-request-id", b"x-ms-client-request-id", b"traceid")


class IdTooLong(Exception):  # noqa: N818 - names what is wrong
    """A request id is over the limit; the text says which."""


class RequestIds(NamedTuple):
    """The ids of one request. A client's id may come in the header of that name, or in the older one."""

    request: str
    client: str = ""
    older: str = ""  # x-ms-request-id: once the client's id, on an answer never empty
    trace: bytes = b""

    @classmethod
    def read(cls, scope: Message) -> RequestIds:
        """Take the ids from the headers; the request's own is made where it has none. Raises IdTooLong."""
        given = {name: value.decode("latin-1") for name, value in scope["headers"] if name in _NAMES}
        for name in _NAMES[:3]:
            if len(given.get(name, "")) > MAX_CHARACTERS:
                raise IdTooLong(f"{name.decode()} must not exceed {MAX_CHARACTERS} characters")
        request = given.get(b"x-request-id") or new_invocation_id()
        older = given.get(b"x-ms-request-id", "")
        client = given.get(b"x-ms-client-request-id", "") or older
        return cls(request, client, older or client or request, given.get(b"traceid", "").encode("latin-1"))

    def headers(self) -> RawHeaders:
        """The headers of the answer."""
        raw = [
            (b"x-request-id", self.request.encode("latin-1")),
            (b"x-ms-request-id", self.older.encode("latin-1")),
        ]
        if self.client:
            raw.append((b"x-ms-client-request-id", self.client.encode("latin-1")))
        if self.trace:
            raw.append((b"traceid", self.trace))
        return raw
