"""Reads a request's body: small ones into memory, large ones into a file while they arrive.

So that many slow uploads hold no memory, a body of more than SPOOL_FROM_BYTES goes to a nameless file in the
temporary folder, and is handed on as a view of that file's pages, which the kernel may drop and read again. Where no
folder can be written to (a read-only container without /tmp) the file is in memory.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from typing import BinaryIO

from fnpack_host.http.asgi import Receive

SPOOL_FROM_BYTES = 1024 * 1024


class BodyTooLarge(Exception):  # noqa: N818 - names what happened
    """The request's body is over the limit."""


class ClientGone(Exception):  # noqa: N818 - names what happened
    """The client closed the connection before its body was whole."""


async def read_body(announced_length: str, receive: Receive, limit: int) -> bytes | memoryview:
    """The request's whole body; `announced_length` is its content-length header, empty where it has none.

    Raises BodyTooLarge before more than `limit` bytes are kept, or ClientGone.
    """
    announced = int(announced_length) if announced_length.isdigit() else 0
    if announced > limit:
        raise BodyTooLarge
    message = await receive()
    if message["type"] == "http.disconnect":
        raise ClientGone
    body: bytes = message["body"]
    if not message["more_body"]:
        if len(body) > limit:
            raise BodyTooLarge
        return body
    return await _read_on(receive, body, limit, must_spool=announced > SPOOL_FROM_BYTES)


async def _read_on(receive: Receive, first: bytes, limit: int, *, must_spool: bool) -> bytes | memoryview:
    pieces, size = [first], len(first)
    spool = _spool() if must_spool else None
    try:
        while True:
            if spool is None and size > SPOOL_FROM_BYTES:
                spool = _spool()
            if spool is not None:
                spool.writelines(pieces)
                pieces.clear()
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            pieces.append(message["body"])
            size += len(message["body"])
            if size > limit:
                raise BodyTooLarge
            if not message["more_body"]:
                break
        if spool is None:
            return b"".join(pieces)
        spool.writelines(pieces)
        return _view(spool)
    finally:
        if spool is not None:
            spool.close()


def _spool() -> BinaryIO:
    try:
        return tempfile.TemporaryFile(prefix="fnpack-body-", buffering=0)
    except OSError:
        return os.fdopen(os.memfd_create("fnpack-body"), "wb+", buffering=0)


def _view(spool: BinaryIO) -> memoryview:
    """The file's bytes; the mapping ends when nothing refers to the view any more."""
    return memoryview(mmap.mmap(spool.fileno(), 0, access=mmap.ACCESS_READ))
