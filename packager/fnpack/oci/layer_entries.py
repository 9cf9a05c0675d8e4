"""Reads a base image's layer from one end to the other, packed or not."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from contextlib import contextmanager

from fnpack.oci.bases import BaseSource
from fnpack.oci.content import Content
from fnpack.oci.inflating import InflateError, plain

LAYER_ERRORS = (tarfile.TarError, OSError, EOFError, InflateError)  # of a layer that cannot be read
_BUFFER_BYTES = 1 << 18


@contextmanager
def opened_layer(base: BaseSource, layer: Content) -> Iterator[tarfile.TarFile]:
    """The layer's tar, to be read forward once. Raises LAYER_ERRORS, and what the base's place raises."""
    with (
        base.open_layer(layer.descriptor) as stream,
        plain(stream) as unpacked,
        tarfile.open(fileobj=unpacked, mode="r|", bufsize=_BUFFER_BYTES) as tar,
    ):
        yield tar
