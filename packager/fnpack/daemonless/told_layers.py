"""Layers that say how much of them was read, for outputs that know nothing of progress: folders, archives, Engines."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import BinaryIO, cast

from fnpack.oci.content import Content, Descriptor
from fnpack.oci.image import Image
from fnpack.progress import Progress, ProgressEvent, Status

_EVENTS_PER_S = 10


def told_image(image: Image, progress: Progress) -> Image:
    """The image whose layers tell each reading as a step; a layer that nobody reads tells nothing."""

    def told(content: Content, title: str) -> Content:
        name = f"write {title or content.descriptor.digest[:19]}"
        return _ToldContent(content.descriptor, content.open, name, progress)

    layers = tuple(one._replace(content=told(one.content, one.title)) for one in image.layers)
    return image._replace(layers=layers)


@dataclass(frozen=True, slots=True)
class _ToldContent:
    descriptor: Descriptor
    source: Callable[[int], BinaryIO] = field(repr=False)
    name: str
    progress: Progress = field(repr=False)

    def open(self, offset: int = 0) -> BinaryIO:
        """A stream of the bytes from `offset` on."""
        return cast("BinaryIO", _ToldStream(self, self.source(offset), offset))


class _ToldStream:
    """A stream that tells how far it was read, and that it was read to its end."""

    def __init__(self, content: _ToldContent, stream: BinaryIO, offset: int) -> None:
        self._content, self._stream, self._position = content, stream, offset
        self._since = self._told_at = time.monotonic()
        self._is_closed = False
        self._tell("started")

    def read(self, size: int = -1) -> bytes:
        """Some of the bytes."""
        data = self._stream.read(size)
        self._position += len(data)
        now = time.monotonic()
        if now - self._told_at >= 1 / _EVENTS_PER_S:
            self._told_at = now
            self._tell("running")
        return data

    def close(self) -> None:
        """Close, and say how it ended."""
        if self._is_closed:
            return
        self._is_closed = True
        self._stream.close()
        is_whole = self._position >= self._content.descriptor.size_bytes
        self._tell("done" if is_whole else "failed", time.monotonic() - self._since)

    def __enter__(self) -> _ToldStream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _tell(self, status: Status, duration_s: float | None = None) -> None:
        content, total = self._content, self._content.descriptor.size_bytes
        detail = "written" if status == "done" else ""
        content.progress(ProgressEvent(content.name, status, detail, self._position, total, duration_s))
