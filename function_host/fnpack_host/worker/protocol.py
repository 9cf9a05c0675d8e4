"""Frames between host and worker over one stream socket: a fixed header, JSON facts, then the payload's bytes.

Header, little endian: kind u8, id u64, size of the JSON u32, size of the payload u64.
"""

from __future__ import annotations

import enum
import json
import struct
from collections.abc import Iterator, Mapping
from typing import NamedTuple, cast

_HEADER = struct.Struct("<BQIQ")
MAX_FACTS_BYTES = 64 * 1024 * 1024
_LARGE_BYTES = 1024 * 1024
# Made once: json.dumps and json.loads look at their arguments anew for every frame, which shows in every call.
_to_json = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode
_from_json = json.JSONDecoder().decode


class Kind(enum.IntEnum):
    """What a frame says. The host sends START, INVOKE and STOP; the worker STARTED, RESULT and FAILED."""

    START = 1
    STARTED = 2
    INVOKE = 3
    RESULT = 4
    FAILED = 5
    STOP = 6


_KINDS = {int(kind): kind for kind in Kind}


class Frame(NamedTuple):
    """One message. `id` ties a RESULT or FAILED to its INVOKE; `facts` is what JSON can hold."""

    kind: Kind
    id: int
    facts: Mapping[str, object]
    payload: bytes = b""


class ProtocolError(Exception):
    """The other side sent what is no frame."""


def encode(
    kind: Kind, frame_id: int, facts: Mapping[str, object], payload: bytes | memoryview = b""
) -> list[bytes]:
    """A frame as pieces to write; the payload is not copied."""
    text = _to_json(facts).encode() if facts else b"{}"
    head = _HEADER.pack(kind, frame_id, len(text), len(payload)) + text
    return [head, cast("bytes", payload)] if payload else [head]


class Decoder:
    """Turns received bytes into frames; keeps what is not complete yet."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._wanted = _HEADER.size

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Yield each frame that `data` completes. Raises ProtocolError when the stream makes no sense."""
        self._buffer += data
        start = 0
        while len(self._buffer) - start >= self._wanted:
            kind, frame_id, facts_size, payload_size = _HEADER.unpack_from(self._buffer, start)
            if facts_size > MAX_FACTS_BYTES:
                raise ProtocolError(f"a frame announces {facts_size} bytes of facts")
            body = start + _HEADER.size
            end = body + facts_size + payload_size
            if len(self._buffer) < end:
                self._wanted = end - start
                break
            frame = self._frame(kind, frame_id, body, body + facts_size, end)
            start, self._wanted = end, _HEADER.size
            if end > _LARGE_BYTES:  # a large payload is not kept twice while its frame is handled
                del self._buffer[:end]
                start = 0
            yield frame
        if start:
            del self._buffer[:start]

    def _frame(self, kind: int, frame_id: int, body: int, payload: int, end: int) -> Frame:
        with memoryview(self._buffer) as view:
            text, rest = bytes(view[body:payload]), bytes(view[payload:end])
        try:
            return Frame(_KINDS[kind], frame_id, _from_json(text.decode()) if text != b"{}" else {}, rest)
        except (ValueError, LookupError) as error:
            raise ProtocolError(f"a frame cannot be read: {error}") from error
