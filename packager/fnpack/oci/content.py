"""What images are made of, as data: descriptors, and contents that can be opened again at any offset.

It owns no network and no layer format. Terms are those of the OCI image specification.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
LAYER_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
EMPTY = "application/vnd.oci.empty.v1+json"


class Descriptor(NamedTuple):
    """A blob or manifest: what it is, its digest (`sha256:<64 hex digits>`) and its size in bytes."""

    media_type: str
    digest: str
    size_bytes: int
    annotations: Mapping[str, str] = {}

    def to_json(self) -> dict[str, object]:
        """The descriptor as manifests hold it."""
        plain: dict[str, object] = {
            "mediaType": self.media_type,
            "digest": self.digest,
            "size": self.size_bytes,
        }
        return plain | ({"annotations": dict(sorted(self.annotations.items()))} if self.annotations else {})


class Content(Protocol):
    """Bytes that are described and can be read as often as is needed: a push that broke off goes on at an offset."""

    @property
    def descriptor(self) -> Descriptor:
        """What `open` gives."""

    def open(self, offset: int = 0) -> BinaryIO:
        """A stream of the bytes from `offset` on. The caller closes it."""


class BytesContent(NamedTuple):
    """A content in memory: a config, a manifest, a small layer."""

    descriptor: Descriptor
    data: bytes

    def __repr__(self) -> str:
        """Without the bytes."""
        return f"BytesContent({self.descriptor!r})"

    @classmethod
    def of(cls, data: bytes, media_type: str, annotations: Mapping[str, str] | None = None) -> BytesContent:
        """Describe `data`."""
        return cls(Descriptor(media_type, digest_of(data), len(data), annotations or {}), data)

    def open(self, offset: int = 0) -> BinaryIO:
        """A stream of the bytes from `offset` on."""
        return io.BytesIO(self.data[offset:])


class FileContent(NamedTuple):
    """A content that is a file as it stands, such as a cached layer."""

    descriptor: Descriptor
    path: Path

    def open(self, offset: int = 0) -> BinaryIO:
        """A stream of the bytes from `offset` on."""
        file = self.path.open("rb")
        file.seek(offset)
        return file


class Layer(NamedTuple):
    """A layer of an image: its content, and the digest of its uncompressed tar (`diff_id`).

    `content` may make its bytes only when it is opened, so that a layer that the registry has is never made.
    `title` is for people: `numpy 2.2.6`, `model diabetes:1`.
    """

    content: Content
    diff_id: str
    title: str = ""

    @property
    def descriptor(self) -> Descriptor:
        """The content's."""
        return self.content.descriptor


def digest_of(data: bytes) -> str:
    """`sha256:...` of `data`."""
    return "sha256:" + hashlib.sha256(data).hexdigest()
