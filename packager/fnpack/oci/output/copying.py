"""Copies contents, and sees to it that they are what their descriptors say."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from fnpack.oci.content import Content
from fnpack.oci.errors import LayerLost
from fnpack.oci.recipe import CachedContent

_BLOCK_BYTES = 1 << 20


def verified(content: Content) -> Iterator[bytes]:
    """The blocks of a content; raises LayerLost at the end if they are not what the descriptor says."""
    wanted = content.descriptor
    digest, size_bytes = hashlib.sha256(), 0
    with content.open() as stream:
        while block := stream.read(_BLOCK_BYTES):
            digest.update(block)
            size_bytes += len(block)
            yield block
    found = f"sha256:{digest.hexdigest()}"
    if (found, size_bytes) != (wanted.digest, wanted.size_bytes):
        if isinstance(content, CachedContent):
            content.cache.drop(wanted.digest)
        raise LayerLost(
            f"{wanted.digest} has other bytes than its digest says: {size_bytes}, with the digest {found[:19]}",
            hint="build again; if it stays, get the base image again",
        )
