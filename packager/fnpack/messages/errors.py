"""Why a message cannot be sent, looked at or taken."""

from __future__ import annotations

from fnpack_triggers.errors import FnpackError


class PlaceError(FnpackError):
    """What was given names no place for messages or blobs."""

    code = "FN510"


class NoConnection(FnpackError):  # noqa: N818 - says what is missing
    """No service runs here, and no setting says where one is."""

    code = "FN511"


class NothingCame(FnpackError):  # noqa: N818 - says what happened
    """No message, or no blob, was there in time."""

    code = "FN512"
