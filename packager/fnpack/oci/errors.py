"""What can go wrong with the contents of an image."""

from __future__ import annotations

from fnpack_triggers.errors import FnpackError


class UnsafeContent(FnpackError):  # noqa: N818 - says what it is
    """A wheel, model or source holds what must not get into an image: a path that leads out, a device, a bomb."""

    code = "FN440"


class ContentClash(FnpackError):  # noqa: N818 - says what it is
    """Two packages claim one path, one as a file and one as a folder."""

    code = "FN441"


class LayerCacheError(FnpackError):
    """A layer cannot be kept: the disk is full, or nothing may be written there."""

    code = "FN442"


class BaseSourceError(FnpackError):
    """A base image in a folder, an archive or the Engine cannot be read."""

    code = "FN443"


class OutputError(FnpackError):
    """An image cannot be written or loaded."""

    code = "FN444"


class CompilerFailed(FnpackError):  # noqa: N818 - says what happened
    """The Python that compiles an image's modules did not do so."""

    code = "FN446"
