"""Azure storage failures in our words, and the patience to outlive an outage."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from azure.core.exceptions import AzureError, HttpResponseError

from fnpack_triggers.errors import ConnectionSettingError, FnpackError, ServiceError
from fnpack_triggers.identity import SignInError

_log = logging.getLogger("fnpack.triggers.blob")
_T = TypeVar("_T")
_MAX_DELAY_S = 5.0


class StorageUnavailable(ServiceError):  # noqa: N818 - reads as a state
    """Storage did not answer, or asked to come back later: the same call may work in a while."""

    code = "FN141"
    hint = "check the address in the connection setting, and that the storage can be reached from here"


class StorageRefused(ServiceError):  # noqa: N818
    """Storage answered and refused: a wrong or expired key, or a missing permission."""

    code = "FN142"


class NotFoundError(Exception):
    """What was addressed is not there. `code` is the service's (ContainerNotFound, BlobNotFound)."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class ConflictError(Exception):
    """A condition of the call did not hold (412), or the thing is in another state (409)."""


@contextmanager
def translated(operation: str, account: str) -> Iterator[None]:
    """Turn what the Azure library raises inside into this module's exceptions."""
    try:
        yield
    except SignInError as exc:
        raise (StorageRefused if exc.is_final else StorageUnavailable)(str(exc), hint=exc.hint) from exc
    except AzureError as exc:
        raise _fault(exc, operation, account) from exc
    except (OSError, asyncio.TimeoutError) as exc:
        raise StorageUnavailable(f"storage account `{account}` does not answer ({operation})") from exc


def _fault(exc: AzureError, operation: str, account: str) -> Exception:
    status = exc.status_code if isinstance(exc, HttpResponseError) else None
    code = str(
        getattr(getattr(exc, "error_code", None), "value", getattr(exc, "error_code", None)) or status or ""
    )
    if status == 404:
        return NotFoundError(code)
    if status in (409, 412, 304):
        return ConflictError(code)
    if status in (400, 401, 403):
        return StorageRefused(
            f"storage account `{account}` refused to {operation} ({code})",
            hint="check the key or the signature in the connection setting, its expiry and its permissions; "
            "an identity needs a role on the account, such as Storage Blob Data Contributor",
        )
    if status is None:
        return StorageUnavailable(f"storage account `{account}` does not answer ({operation})")
    return StorageUnavailable(f"storage account `{account}` could not {operation} (HTTP {status} {code})")


class Patience:
    """Repeats calls to one account through outages: one warning when it goes, one line when it is back."""

    def __init__(self, account: str) -> None:
        self.account = account
        self._lost_at: float | None = None
        self.outages = 0

    @property
    def is_lost(self) -> bool:
        """Whether the last call found the account unavailable."""
        return self._lost_at is not None

    async def run(self, operation: Callable[[], Awaitable[_T]], *, limit_s: float | None = None) -> _T:
        """The result of `operation`, however long storage is away.

        With `limit_s`: its error after that time, and a refusal at once.
        """
        delay_s, started = 0.1, time.monotonic()
        while True:
            try:
                result = await operation()
            except (StorageUnavailable, StorageRefused) as exc:  # noqa: PERF203
                if limit_s is not None and (
                    isinstance(exc, StorageRefused) or time.monotonic() - started >= limit_s
                ):
                    raise
                self.lost(exc)
                await asyncio.sleep(delay_s * random.uniform(0.8, 1.2))  # noqa: S311 - jitter
                delay_s = min(delay_s * 2, _MAX_DELAY_S)
            else:
                self.recovered()
                return result

    def lost(self, exc: ServiceError) -> None:
        """Note that a call failed."""
        if self._lost_at is None:
            self._lost_at = time.monotonic()
            self.outages += 1
            _log.warning("%s; retrying until it is back", exc)

    def recovered(self) -> None:
        """Note that a call worked."""
        if self._lost_at is not None:
            _log.warning(
                "storage account `%s` is back after %.1f s", self.account, time.monotonic() - self._lost_at
            )
            self._lost_at = None


def at_start(exc: ServiceError, setting: str) -> FnpackError:
    """The error that ends a start: a refusal is a matter of the connection setting."""
    if isinstance(exc, StorageRefused):
        return ConnectionSettingError(
            f"the connection setting `{setting}` does not work: {exc}", hint=exc.hint
        )
    return ServiceError(
        f"{exc} (connection setting `{setting}`)",
        hint="check the account's name and the network; for local work start Azurite",
    )
