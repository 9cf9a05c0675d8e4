"""SDK v1's exceptions, by their names: what model registry, packages and local services raise.

All are `FnpackError`s, with a code and a hint. `except WebserviceException` catches what it caught in SDK v1.
"""

from __future__ import annotations

from fnpack_triggers.errors import FnpackError

__all__ = [
    "AzureMLException",
    "ModelNotFoundException",
    "ModelPathNotFoundException",
    "UserErrorException",
    "WebserviceException",
    "WorkspaceException",
]


class AzureMLException(FnpackError):  # noqa: N818 - SDK v1's name
    """The root of SDK v1's exceptions."""

    code = "FN500"

    @property
    def message(self) -> str:
        """The text, as SDK v1 named it."""
        return str(self)


class UserErrorException(AzureMLException):
    """An argument cannot be used; the text names it."""

    code = "FN504"


class WebserviceException(AzureMLException):
    """Something about a model, a package or a service did not work. `status_code` is set where HTTP was involved."""

    code = "FN505"

    def __init__(self, message: str, *, hint: str | None = None, status_code: int | None = None) -> None:
        super().__init__(message, hint=hint)
        self.status_code = status_code


class ModelNotFoundException(WebserviceException):
    """The registry holds no such model; the text contains `ModelNotFound`."""

    code = "FN506"


class ModelPathNotFoundException(WebserviceException):
    """The file or folder to register does not exist, or holds nothing."""

    code = "FN507"


class WorkspaceException(AzureMLException):
    """A workspace is missing, exists already, or its file cannot be read."""

    code = "FN508"
