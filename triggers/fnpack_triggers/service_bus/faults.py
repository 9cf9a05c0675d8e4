"""Service Bus failures in our words: away for a while, refused for good, or a lock that is no longer ours."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

from azure.servicebus import exceptions as sdk

from fnpack_triggers.blob.faults import StorageUnavailable
from fnpack_triggers.errors import ServiceError
from fnpack_triggers.identity import SignInError

_log = logging.getLogger("fnpack.triggers.service_bus")


class BusUnavailable(StorageUnavailable):
    """Service Bus did not answer, or asked to come back later: the same call may work in a while.

    It is a StorageUnavailable so that triggers of every kind wait for an output instead of counting attempts.
    """

    code = "FN146"
    hint = "check the address in the connection setting, and that the namespace can be reached from here"


class BusRefused(ServiceError):  # noqa: N818 - reads as a state
    """Service Bus answered and refused: a wrong key, a missing right, a message that is too large."""

    code = "FN147"


class EntityAbsent(BusRefused):
    """The queue, topic or subscription does not exist."""

    code = "FN148"


class SessionMismatch(BusRefused):
    """The entity has sessions and the binding does not say so, or the reverse."""

    code = "FN149"


class LockLost(Exception):  # noqa: N818
    """The message or session is no longer locked for us: its lock ran out, or it was settled already."""


class NoSession(Exception):  # noqa: N818
    """No session was free for as long as one may wait for it; nothing is wrong."""


_LOST = (
    sdk.MessageLockLostError,
    sdk.MessageNotFoundError,
    sdk.SessionLockLostError,
    sdk.MessageAlreadySettled,
)
_DENIED = (sdk.ServiceBusAuthenticationError, sdk.ServiceBusAuthorizationError)


@contextmanager
def translated(operation: str, namespace: str) -> Iterator[None]:
    """Turn what the Service Bus library raises inside into this module's exceptions."""
    try:
        yield
    except _LOST as exc:
        raise LockLost(type(exc).__name__) from exc
    except sdk.MessagingEntityNotFoundError as exc:
        raise EntityAbsent(
            f"Service Bus namespace `{namespace}` could not {operation}: it does not exist",
            hint="create it, or correct its name in function.json; entities are never created by the host",
        ) from exc
    except _DENIED as exc:
        raise BusRefused(
            f"Service Bus namespace `{namespace}` refused to {operation}",
            hint="check the key in the connection setting; a trigger needs the right Listen, an output Send; an "
            "identity needs the role Azure Service Bus Data Receiver, or Data Sender",
        ) from exc
    except sdk.MessageSizeExceededError as exc:
        raise BusRefused(
            f"Service Bus namespace `{namespace}` refused to {operation}: the message is too large",
            hint="write the value to a blob and send its name; the tier Premium takes up to 100 MB",
        ) from exc
    except sdk.ServiceBusError as exc:
        if isinstance(cause := exc.inner_exception, SignInError):
            raise (BusRefused if cause.is_final else BusUnavailable)(str(cause), hint=cause.hint) from exc
        if "amqp:not-allowed" in str(exc):
            raise SessionMismatch(
                f"Service Bus namespace `{namespace}` refused to {operation}: {_said(exc)}",
                hint="`isSessionsEnabled` must be true for an entity with sessions, and for no other",
            ) from exc
        raise BusUnavailable(
            f"Service Bus namespace `{namespace}` could not {operation} ({type(exc).__name__})"
        ) from exc
    except (OSError, asyncio.TimeoutError) as exc:
        raise BusUnavailable(f"Service Bus namespace `{namespace}` does not answer ({operation})") from exc


def is_no_session(exc: BusUnavailable) -> bool:
    """Whether the broker said that no session became free, when one was waited for."""
    cause = exc.__cause__
    return isinstance(cause, sdk.OperationTimeoutError) and "com.microsoft:timeout" in str(cause)


def is_closed(exc: BusUnavailable) -> bool:
    """Whether the broker had closed the link: of a session, because its lock was lost."""
    return "Link already closed" in str(exc.__cause__)


def _said(exc: sdk.ServiceBusError) -> str:
    """What the broker said of it, on one line."""
    return str(exc).partition(" Error condition:")[0].strip().splitlines()[0][:300]


class Outage:
    """Says once that an entity cannot be used, and once that it can again."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._lost_at: float | None = None

    def lost(self, exc: ServiceError) -> None:
        """Note that a call failed."""
        if self._lost_at is None:
            self._lost_at = time.monotonic()
            _log.warning("%s; retrying until it is back", exc)

    def recovered(self) -> None:
        """Note that a call worked."""
        if self._lost_at is not None:
            _log.warning("%s is back after %.1f s", self._what, time.monotonic() - self._lost_at)
            self._lost_at = None
