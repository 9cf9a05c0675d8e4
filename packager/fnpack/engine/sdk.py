"""The few places where fnpack reaches below docker-py's public API, each in one typed function.

docker-py owns the transport (unix socket, tcp, TLS, contexts, version negotiation) and has no public way to post to
an endpoint that it does not know, nor to take over an upgraded connection except through `attach`.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    from docker.api.client import APIClient
    from requests import Response


class Reader(Protocol):
    """The buffered half of a connection: gives what has arrived, waits only when that is nothing."""

    def read1(self, size: int, /) -> bytes:
        """At least one and at most `size` bytes; none at the end."""


class _Sdk(Protocol):
    """What docker-py's type stubs leave out."""

    def _url(self, path: str) -> str: ...

    def _post(
        self,
        url: str,
        *,
        params: Sequence[tuple[str, str]],
        data: Iterator[bytes],
        headers: Mapping[str, str],
        stream: bool,
        timeout: tuple[float, float | None],
    ) -> Response: ...

    def _get_raw_response_socket(self, response: Response) -> object: ...

    def inspect_image(self, image: str) -> Mapping[str, object]: ...

    def history(self, image: str) -> Sequence[Mapping[str, object]]: ...


def url(api: APIClient, path: str) -> str:
    """The address of an endpoint, with the negotiated API version."""
    return cast("_Sdk", api)._url(path)


def post(
    api: APIClient,
    path: str,
    *,
    params: Sequence[tuple[str, str]],
    data: Iterator[bytes],
    headers: Mapping[str, str],
    timeout: tuple[float, float | None],
) -> Response:
    """POST a streamed body; the answer is not read yet. `timeout` is (connect, read) in seconds."""
    sdk = cast("_Sdk", api)
    return sdk._post(sdk._url(path), params=params, data=data, headers=headers, stream=True, timeout=timeout)


def inspect_image(api: APIClient, reference: str) -> Mapping[str, object]:
    """The Engine's description of an image. Raises docker's `ImageNotFound` and `APIError`."""
    return cast("_Sdk", api).inspect_image(reference)


def image_history(api: APIClient, reference: str) -> Sequence[Mapping[str, object]]:
    """The steps that made an image, the last one first. Raises as `inspect_image`."""
    return cast("_Sdk", api).history(reference)


def hijack(api: APIClient, response: Response) -> tuple[socket.socket, Reader]:
    """The socket under a 101 answer, and its buffered reader, which may already hold the peer's first bytes."""
    raw = cast("_Sdk", api)._get_raw_response_socket(response)
    sock = raw if isinstance(raw, socket.socket) else getattr(raw, "_sock", None)
    if not isinstance(sock, socket.socket):
        raise OSError("the connection to the Engine is not a socket")
    assert response.raw._fp is not None
    return sock, cast("Reader", response.raw._fp.fp)
