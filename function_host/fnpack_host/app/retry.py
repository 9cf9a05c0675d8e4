"""Retry policies as data: what function.json, a decorator or host.json says about repeating a failed call.

Source: the retry-policy guide of Azure Functions. Which triggers follow a policy is that guide's table, too; storage
triggers and Service Bus repeat by means of their own.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from fnpack_host.app.time_span import time_span
from fnpack_triggers.base import Json

FOREVER = -1
MAX_COUNT = 2**31 - 1
FIXED, GROWING = "fixeddelay", "exponentialbackoff"
_INTERVALS = {FIXED: ("delayInterval",), GROWING: ("minimumInterval", "maximumInterval")}
# Of the triggers that follow a policy in Azure, those that this host runs.
TRIGGERS = ("timertrigger",)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How a failed call is repeated; times in seconds. Where there is a `longest_s`, the wait doubles up to it."""

    max_retry_count: int  # FOREVER: without bound
    wait_s: float
    longest_s: float | None = None

    def allows(self, retry: int) -> bool:
        """Whether there is a repeat number `retry`, counted from 1."""
        return self.max_retry_count == FOREVER or retry <= self.max_retry_count

    def wait_before(self, retry: int, shake: Callable[[float, float], float] = random.uniform) -> float:
        """The seconds before repeat number `retry`. A growing wait is shaken by a fifth, as Azure's is."""
        if self.longest_s is None:
            return self.wait_s
        if retry == 1:
            return self.wait_s
        grown = float(2 ** min(retry - 2, 62)) * self.wait_s * shake(0.8, 1.2)
        return min(self.wait_s + grown, self.longest_s)


def retry_problems(values: Mapping[str, Json]) -> list[str]:
    """What is wrong with a policy, each with key, value and what is allowed. Keys and strategies in any spelling."""
    given = _given(values)
    strategy = _folded(given.get("strategy"))
    problems = []
    if strategy not in _INTERVALS:
        allowed = "fixedDelay or exponentialBackoff"
        problems.append(f"strategy is {given.get('strategy')!r}, but must be {allowed}")
    count = _whole(given.get("maxretrycount"))
    if count is None or not FOREVER <= count <= MAX_COUNT:
        problems.append(
            f"maxRetryCount is {given.get('maxretrycount')!r}, but must be a whole number from 0 to {MAX_COUNT}, "
            "or -1 for no bound"
        )
    waits = []
    for key in _INTERVALS.get(strategy, ()):
        wait = time_span(given.get(key.lower()))
        waits.append(wait)
        if wait is None or wait < 0:
            problems.append(f"{key} is {given.get(key.lower())!r}, but must be a time span such as 00:00:05")
    if len(waits) == 2 and None not in waits and waits[0] > waits[1]:  # type: ignore[operator]
        problems.append(
            f"minimumInterval is {given['minimuminterval']!r}, but must be at most maximumInterval "
            f"({given['maximuminterval']!r})"
        )
    return problems


def read_retry(values: Mapping[str, Json]) -> RetryPolicy:
    """The policy of values in which `retry_problems` finds none."""
    given = _given(values)
    waits = [time_span(given[key.lower()]) or 0.0 for key in _INTERVALS[_folded(given["strategy"])]]
    return RetryPolicy(_whole(given["maxretrycount"]) or 0, *waits)


def _given(values: Mapping[str, Json]) -> dict[str, Json]:
    """Keys without case and underscores: decorators write `max_retry_count`, function.json `maxRetryCount`."""
    return {_folded(key): value for key, value in values.items()}


def _folded(value: Json) -> str:
    return value.replace("_", "").lower() if isinstance(value, str) else ""


def _whole(value: Json) -> int | None:
    """A whole number, also as text: decorators and environment variables give texts."""
    if isinstance(value, str) and value.strip().lstrip("-").isdecimal():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
