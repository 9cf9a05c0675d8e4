"""What can go wrong when an image is looked into, beside the errors of the place that it is in."""

from __future__ import annotations

from fnpack_triggers.errors import FnpackError


class NotAnImage(FnpackError):  # noqa: N818 - says what it is
    """There is something under this name, and it is no image: a chart, an SBOM, a file of another kind."""

    code = "FN445"
