"""When to try again, and how long to wait before: bounded, with jitter, and as long as Retry-After says."""

from __future__ import annotations

import threading

from fnpack.registry.errors import RegistryError
from fnpack.registry.settings import RegistrySettings

TRY_AGAIN = frozenset({408, 429, 500, 502, 503, 504})
_LONGEST_ASKED_S = 120.0  # a registry that wants a longer pause gets none: the error says so


class Cancelled(Exception):  # noqa: N818 - says what happened
    """Another part of the work failed, or the user gave up."""


class Backoff:
    """The tries of one piece of work. `cancelled` ends a pause early."""

    def __init__(self, settings: RegistrySettings, cancelled: threading.Event | None = None) -> None:
        self._settings = settings
        self._cancelled = cancelled or threading.Event()
        self.failures = 0

    def pause(self, error: RegistryError, attempts: int | None = None) -> None:
        """Wait before the next try; `error` is raised where it is final, or none of `attempts` is left."""
        self.failures += 1
        asked_s = error.asked_s or 0.0
        if (
            not error.may_pass
            or self.failures >= (attempts or self._settings.attempts)
            or asked_s > _LONGEST_ASKED_S
        ):
            error.may_pass = False  # so that nobody further out tries it again
            raise error
        import random  # costs some ms, which a push that does not fail need not spend

        longest = min(self._settings.first_pause_s * 2 ** (self.failures - 1), self._settings.longest_pause_s)
        jittered = longest * random.uniform(0.5, 1)  # noqa: S311 - spreads clients out, hides nothing
        if self._cancelled.wait(max(jittered, asked_s)):
            raise Cancelled

    def progressed(self) -> None:
        """Some of the work got done, so the count of failures starts anew."""
        self.failures = 0


def asked_pause_s(retry_after: str | None) -> float | None:
    """The seconds that a Retry-After header asks for: a number, or a date."""
    if not retry_after:
        return None
    if retry_after.strip().isdecimal():
        return float(retry_after)
    from datetime import datetime, timezone
    from email.utils import parsedate_to_datetime

    try:
        until = parsedate_to_datetime(retry_after)
    except (TypeError, ValueError):
        return None
    until = until if until.tzinfo else until.replace(tzinfo=timezone.utc)
    return max(0.0, (until - datetime.now(timezone.utc)).total_seconds())
