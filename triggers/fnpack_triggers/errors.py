"""The root of fnpack's error tree. It lives in the lowest room so that every room can raise from one tree."""

from __future__ import annotations


class FnpackError(Exception):
    """An expected failure: its text says what is wrong and where; `hint` says what to do about it.

    `code` is stable and documented (docs/errors.md): FN1xx bindings and triggers, FN2xx host,
    FN3xx configuration and app directory, FN4xx images and registries, FN5xx tools and services.
    `exit_code` is what the command line exits with.
    """

    code = "FN000"
    exit_code = 1
    hint: str | None = None

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        if hint is not None:
            self.hint = hint


class BindingError(FnpackError):
    """A binding of a function is wrong; the text names the binding and the property."""

    code = "FN100"


class PatternError(BindingError):
    """A blob path or binding expression cannot be parsed."""

    code = "FN120"

    def __init__(self, pattern: str, position: int, reason: str) -> None:
        super().__init__(f"`{pattern}`: {reason} at character {position + 1}")
        self.pattern, self.position, self.reason = pattern, position, reason


class ConnectionSettingError(FnpackError):
    """A connection setting is missing or malformed. Never carries the setting's value."""

    code = "FN130"


class ServiceError(FnpackError):
    """A service (storage, Service Bus) refused or did not answer; the text names operation and cause."""

    code = "FN140"
