"""Delivers a listener's events to one function, and repeats failed ones where a retry policy says so."""

from __future__ import annotations

import asyncio
import itertools
import logging
from contextlib import suppress
from dataclasses import dataclass

from fnpack_host.app.function_app import Function
from fnpack_host.app.retry import RetryPolicy
from fnpack_host.invoker import Invoker, Retry
from fnpack_triggers.base import Event, InvocationFailed

log = logging.getLogger("fnpack.host")


@dataclass(frozen=True, slots=True)
class Deliverer:
    """Hands events to a function. `stopping` ends the wait for a repeat: the event has then failed for good."""

    invoker: Invoker
    function: Function
    policy: RetryPolicy | None
    stopping: asyncio.Event

    async def __call__(self, event: Event) -> None:
        """Run the function for the event, again and again as the policy says. Raises InvocationFailed."""
        policy = self.policy
        if policy is None:
            return await self.invoker.deliver(self.function, event)
        failure = ""
        for count in itertools.count():
            attempt = event._replace(attempt=event.attempt + count)
            try:
                return await self.invoker.deliver(
                    self.function, attempt, Retry(count, policy.max_retry_count, failure)
                )
            except InvocationFailed as error:
                failure = str(error)
                if not policy.allows(count + 1) or not await self._waited(policy.wait_before(count + 1)):
                    raise
        raise AssertionError("never reached")

    async def _waited(self, wait_s: float) -> bool:
        """Wait for the next repeat; False if the listeners stop meanwhile."""
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self.stopping.wait(), wait_s)
        if self.stopping.is_set():
            log.warning("function %s: its retry is given up, because listeners stop", self.function.name)
        return not self.stopping.is_set()
