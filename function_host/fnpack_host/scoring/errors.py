"""What can go wrong around an entry script, as exceptions. They carry text for the log or for the caller."""

from __future__ import annotations


class EntryScriptError(Exception):
    """The entry script cannot be used: it does not import, or `init` or `run` is missing or has a wrong shape."""


class ScoringError(Exception):
    """An event was not scored; the host retries it."""


class BadInput(Exception):  # noqa: N818 - SDK v1's wording
    """The caller's input cannot be given to the script; for HTTP it is answered with `status`."""

    status = 400


class UnsupportedInput(BadInput):
    """The caller says that the body is something else than JSON, and so it is."""

    status = 415


class ResultError(Exception):
    """`run` returned what no answer can be made of."""


class ScoringTimeout(BaseException):
    """`run` took longer than SCORING_TIMEOUT_MS. No Exception: an `except Exception` in a script must let it out."""

    def __init__(self, timeout_ms: int) -> None:
        super().__init__(f"Scoring timeout after {timeout_ms} ms")
